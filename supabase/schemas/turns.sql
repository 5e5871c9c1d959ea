-- A turn is one accepted request: it is what makes a retry harmless (the key), what keeps two
-- different requests apart (the hash), and what keeps a late worker out (the attempt).

create table public.turns (
    id uuid not null default private.new_id(),
    conversation_id uuid not null,
    user_id uuid not null,
    idempotency_key text not null,
    request_hash text not null,
    status text not null default 'running',
    attempt integer not null default 1,
    lease_expires_at timestamptz not null,
    draft text not null default '',
    draft_parts jsonb not null default '[]',
    cancel_requested_at timestamptz,
    error jsonb,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    replays integer not null default 0,
    tokens bigint not null default 0,
    answers uuid,

    constraint turns_pkey primary key (id),
    constraint turns_user_id_idempotency_key_key unique (user_id, idempotency_key),
    constraint turns_user_id_id_key unique (user_id, id),
    constraint turns_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade
);

create index idx_turns_user_id_conversation_id on public.turns (user_id, conversation_id);

create index idx_turns_user_id on public.turns (user_id, started_at);

-- As with messages.
alter table public.turns
    alter column user_id set (n_distinct = -0.01),
    alter column conversation_id set (n_distinct = -0.01);

-- One running turn a conversation; also what a sweep over expired leases reads.
create unique index turns_one_running_key
    on public.turns (user_id, conversation_id)
    where status = 'running';

alter table public.turns enable row level security;

create policy select_own on public.turns
    for select to authenticated
    using (
        user_id = (select auth.uid())
        and (
            (select cardinality(private.being_deleted((select auth.uid()))) = 0)
            or conversation_id <> all ((select private.being_deleted((select auth.uid())))::uuid[])
        )
    );

-- Withheld from clients: every write. Turns are opened and closed by the backend's functions,
-- so there is no policy for insert, update or delete.
revoke all on table public.turns from public, anon, authenticated, service_role;
grant select on table public.turns to authenticated;
grant select, insert, update on table public.turns to service_role;

comment on table public.turns is 'One accepted request and how it ended: running, then completed, failed, cancelled or interrupted for good. Clients may read their own. No policy for insert, update, delete: the backend''s functions open and close turns.';
comment on column public.turns.attempt is 'Grows when another worker takes over. A write that names an older attempt is refused.';
comment on column public.turns.lease_expires_at is 'Until then the turn belongs to the worker that runs it; afterwards anyone may take it over.';
comment on column public.turns.answers is 'The message that a regenerating turn answers once more, which an earlier turn or a client wrote; null for a turn that has a message of its own.';
comment on column public.turns.draft is 'The reply so far, while it is being written.';
comment on column public.turns.draft_parts is 'The parts of the draft, [{index, offset, version, part}], where it is more than text: a text part''s text is the draft''s from its offset (in characters) up to that of the next part.';
comment on column public.turns.cancel_requested_at is 'When its owner asked to stop it; the worker sees that at its next heartbeat.';
comment on column public.turns.tokens is 'What it took of the AI so far, by every attempt and with the summary that its reply made due: as the provider reported it, else as estimated.';
comment on column public.turns.replays is 'How many requests found this turn''s key known and were given what it had led to. A takeover is none: it is a new attempt.';

-- In one trigger, as with messages.
create function private.check_turn()
returns trigger
language plpgsql security invoker set search_path = ''
as $$
declare
    v_broken constant text := case
        when new.status not in ('running', 'completed', 'failed', 'cancelled', 'interrupted')
            then 'status_known'
        when (new.status = 'running') <> (new.finished_at is null) then 'settled_has_end'
        when new.attempt < 1 then 'attempt_positive'
        when char_length(new.idempotency_key) not between 1 and 255 then 'idempotency_key_length'
        when char_length(new.request_hash) > 255 then 'request_hash_length'
        when octet_length(new.error::text) > 20000 then 'error_size'
        when new.draft_parts = '[]' and octet_length(new.draft) <= 333333 then null
        when octet_length(to_json(new.draft)::text) + octet_length(new.draft_parts::text) > 2000004
            then 'draft_size'
    end;
begin
    if v_broken is null then
        return new;
    end if;
    raise exception 'new row for relation "turns" violates check constraint "turns_%"', v_broken
        using errcode = '23514', table = 'turns', constraint = 'turns_' || v_broken;
end;
$$;

comment on function private.check_turn is 'Lets a turn be stored that may be. Raises 23514, named by what is wrong with it.';

create trigger turns_storable
    before insert or update on public.turns
    for each row
    execute function private.check_turn();

alter table public.turns enable always trigger turns_storable;
