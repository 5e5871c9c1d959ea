-- The schema `realtime` of a plain Postgres, shaped like the hosted one: what policies,
-- migrations and SQL functions may rely on. Hosted projects own this schema themselves, so none
-- of it belongs into a migration. Run as superuser on every start: it changes nothing twice.

create schema if not exists realtime;

alter schema realtime owner to supabase_realtime_admin;
grant usage on schema realtime to postgres, anon, authenticated, service_role;

-- One row for each broadcast that SQL sends, and the object of every Realtime policy:
-- a visible row means "may listen", an insertable one "may send".
create table if not exists realtime.messages (
    id uuid not null default gen_random_uuid(),
    topic text not null,
    extension text not null,
    payload jsonb,
    binary_payload bytea,
    event text,
    private boolean default false,
    updated_at timestamp not null default timezone('utc', now()),
    inserted_at timestamp not null default timezone('utc', now()),
    constraint messages_pkey primary key (id, inserted_at)
);

create index if not exists messages_inserted_at_topic_idx
    on realtime.messages (inserted_at desc, topic);

alter table realtime.messages enable row level security;

alter table realtime.messages owner to supabase_realtime_admin;

-- Nobody may delete: live events stay until Realtime drops them.
revoke all on table realtime.messages from public;
grant select, insert, update on table realtime.messages
    to postgres, anon, authenticated, service_role;

comment on table realtime.messages is
    'Broadcasts sent from SQL, kept for 72 hours; its policies decide who may join and send.';

create or replace function realtime.topic()
returns text
language sql
stable
set search_path = ''
as $$
    select nullif(current_setting('realtime.topic', true), '');
$$;

grant execute on function realtime.topic() to postgres, anon, authenticated, service_role;

comment on function realtime.topic() is
    'The topic that is being joined or sent to, without its prefix; null outside of a policy.';

-- Runs as its caller, so that policies hold for senders too. Never fails: an error is a warning.
create or replace function realtime.send(
    payload jsonb,
    event text,
    topic text,
    private boolean default true
)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
    v_id uuid := gen_random_uuid();
    v_payload jsonb := payload;
begin
    if not v_payload ? 'id' then
        v_payload := jsonb_set(v_payload, '{id}', to_jsonb(v_id));
    end if;
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (id, topic, extension, payload, event, private)
    values (v_id, topic, 'broadcast', v_payload, event, private);
exception
    when others then
        raise warning 'realtime.send: the broadcast is lost: %', sqlerrm;
end;
$$;

grant execute on function realtime.send(jsonb, text, text, boolean)
    to postgres, anon, authenticated, service_role;

comment on function realtime.send(jsonb, text, text, boolean) is
    'Broadcasts a payload to a topic once this transaction commits.';

-- What the broadcast server has yet to deliver. Hosted, it reads the write-ahead log, and nobody who
-- commits waits for it. NOTIFY would let each commit wait for the one before.
create unlogged table if not exists realtime.undelivered (
    place bigint generated always as identity,
    id uuid not null
);

revoke all on table realtime.undelivered from public;

comment on table realtime.undelivered is
    'The ids of broadcasts that the server has yet to deliver, in the order of their being sent.';

create or replace function realtime.note_undelivered()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
    insert into realtime.undelivered (id)
    select sent.id
    from sent
    where sent.extension = 'broadcast' and sent.event is not null;
    return null;
end;
$$;

revoke execute on function realtime.note_undelivered() from public;

comment on function realtime.note_undelivered() is
    'Leaves rows of realtime.messages for the broadcast server.';

create or replace trigger note_undelivered
    after insert on realtime.messages
    referencing new table as sent
    for each statement
    execute function realtime.note_undelivered();
