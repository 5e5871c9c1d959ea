-- Messages are the record: append-only, in one total order for each conversation.

create table public.messages (
    id uuid not null default private.new_id(),
    conversation_id uuid not null,
    role text not null,
    content text not null,
    generated_code text,
    metadata jsonb not null default '{}',
    user_id uuid not null default auth.uid(),
    is_summary boolean not null default false,
    created_at timestamptz not null,
    seq bigint not null,
    turn_id uuid,
    branch integer not null default 0,
    parts jsonb not null default '[]',
    native jsonb,

    constraint messages_pkey primary key (id),
    constraint messages_user_id_id_key unique (user_id, id),
    constraint messages_user_id_conversation_id_seq_key unique (user_id, conversation_id, seq),
    constraint messages_user_id_turn_id_role_key unique (user_id, turn_id, role),
    constraint messages_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade,
    constraint messages_user_id_turn_id_fkey foreign key (user_id, turn_id)
        references public.turns (user_id, id) on delete cascade,
    constraint messages_role_known check (role in ('user', 'assistant', 'system')),
    constraint messages_summary_is_system check (not is_summary or role = 'system')
);

create index idx_messages_conversation_id
    on public.messages (conversation_id, created_at);

create index idx_messages_user_id on public.messages (user_id, created_at);

-- A user and a conversation have many, and there are many of both, also where the statistics saw one:
-- else reading all that is a user's looks as cheap as looking one up by its key.
alter table public.messages
    alter column user_id set (n_distinct = -0.01),
    alter column conversation_id set (n_distinct = -0.01);

-- Lets the bounded check find the newest messages without reading the others: messages come in the
-- order of their created_at, so a few bytes for each megabyte are enough. As an expression, so that
-- no other index can be taken for it, and read from end to end.
create index idx_messages_created_at
    on public.messages using brin ((created_at at time zone 'utc')) with (autosummarize = on);

alter table public.messages enable row level security;

-- Of what is being deleted nothing is seen. Asked in two parts: mostly there is none, and the planner
-- takes a comparison with an array that it doesn't know for one that leaves next to nothing.
create policy select_own on public.messages
    for select to authenticated
    using (
        user_id = (select auth.uid())
        and (
            (select cardinality(private.being_deleted((select auth.uid()))) = 0)
            or conversation_id <> all ((select private.being_deleted((select auth.uid())))::uuid[])
        )
    );

-- That the conversation is the caller's, the foreign key says.
create policy insert_own_user_row on public.messages
    for insert to authenticated
    with check (
        user_id = (select auth.uid())
        and role = 'user'
        and not is_summary
        and turn_id is null
    );

-- Withheld from clients: id, seq, branch, created_at, is_summary, turn_id and generated_code are not
-- theirs to write; role and user_id can be named, but the policy leaves them one value each. Nor are
-- parts and native: that a message's parts say what its content says, and hold nothing that only an
-- AI may have done, is checked by mega-mind and import-conversation.
-- From the service: seq, branch and created_at, and turn_id, by which a turn's row is known.
-- Nobody updates a message, and nobody deletes one by itself: it goes with its conversation.
revoke all on table public.messages from public, anon, authenticated, service_role;
grant select on table public.messages to authenticated;
grant insert (conversation_id, user_id, role, content, metadata) on table public.messages to authenticated;
grant select on table public.messages to service_role;
grant insert (id, conversation_id, user_id, role, content, generated_code, metadata, is_summary, parts,
              native)
    on table public.messages to service_role;

comment on table public.messages is 'What was said, in order. Clients may read their own and add a user row. No policy for update, delete: the record is append-only, and goes with its conversation.';
comment on column public.messages.seq is 'Place in the conversation: 1, 2, 3 ... without a gap, assigned by the database.';
comment on column public.messages.created_at is 'Strictly grows within a conversation, so ordering by it is ordering by seq.';
comment on column public.messages.turn_id is 'The turn that wrote this row; null for rows written outside one.';
comment on column public.messages.branch is 'The stretch of the conversation that it was written on: 0, and one more each time that somebody went on elsewhere than at the end. The table of branches says from where.';
comment on column public.messages.parts is 'The parts of the message, as the AI SDK''s UI messages have them; none where it is its content alone. content is the text of the parts.';
comment on column public.messages.native is 'The message in the form of a framework, {framework, version, data}, for a round trip that loses nothing.';
comment on column public.messages.user_id is 'The owner of the conversation, on replies too.';

-- What may stand in a row. As a trigger: the text of a check is read and prepared again for each statement
-- that writes, which takes longer than to ask it; of another kind than those, it is there for any writer.
-- Cheap questions come first. Sizes are in bytes as JSON, quotes included: a row has a size as it is sent,
-- too. The numbers are those of shared/encoding/sizes.py. JSON makes six bytes of one at most, so what is
-- short isn't written as JSON to be measured; and what nests 128 deep takes 256 bytes at least. Each has
-- its own limit, and together they have another: a page has room for any one row.
create function private.check_message()
returns trigger
language plpgsql security invoker set search_path = ''
as $$
declare
    v_metadata constant integer := octet_length(new.metadata::text);
    v_is_deep constant boolean := v_metadata > 255
        and jsonb_path_exists(new.metadata, 'strict $.**{128}');
    v_broken text;
begin
    -- As most are. By itself, since Postgres prepares an expression whole, once a transaction.
    if new.parts = '[]' and new.native is null and not v_is_deep
        and octet_length(new.content) < 100000
        and v_metadata < 100000
        and new.generated_code is null
        and jsonb_typeof(new.metadata) = 'object'
    then
        return new;
    end if;

    v_broken := case
        when jsonb_typeof(new.metadata) <> 'object' then 'metadata_object'
        when v_metadata > 1000000 then 'metadata_size'
        when v_is_deep then 'metadata_depth'
        when octet_length(new.content) > 333333 and octet_length(to_json(new.content)::text) > 2000002
            then 'content_size'
        when octet_length(new.generated_code) > 333333
            and octet_length(to_json(new.generated_code)::text) > 2000002
            then 'generated_code_size'
        when new.parts = '[]' and new.native is null then null
        when new.parts <> '[]' and not private.are_parts(new.parts) then 'parts_known'
        when octet_length(new.parts::text) > 2000000 then 'parts_size'
        when not coalesce(
            jsonb_typeof(new.native -> 'framework') = 'string'
                and jsonb_typeof(new.native -> 'version') = 'string'
                and new.native ? 'data',
            new.native is null
        ) then 'native_object'
        when octet_length(new.native::text) > 2000000 then 'native_size'
        when octet_length(to_json(new.content)::text)
            + coalesce(octet_length(to_json(new.generated_code)::text), 0)
            + v_metadata
            + octet_length(new.parts::text)
            + coalesce(octet_length(new.native::text), 0) > 5000000
            then 'row_size'
    end;
    if v_broken is null then
        return new;
    end if;
    raise exception 'new row for relation "messages" violates check constraint "messages_%"%',
        v_broken, case v_broken when 'metadata_depth' then ': it nests too deep' else '' end
        using errcode = '23514', table = 'messages', constraint = 'messages_' || v_broken;
end;
$$;

comment on function private.check_message is 'Lets a message be stored that may be. Raises 23514, named by what is wrong with it.';

create trigger messages_storable
    before insert or update on public.messages
    for each row
    execute function private.check_message();

alter table public.messages enable always trigger messages_storable;

-- Runs as its owner, because a client may write a message but not the counter on its conversation.
create function private.assign_message_place()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    v_last_seq bigint;
    v_updated_at timestamptz;
    v_is_leaving boolean;
    v_active_branch integer;
    v_last_branch integer;
begin
    select c.last_seq, c.updated_at, c.deleting_since is not null, c.active_branch, c.last_branch
    into v_last_seq, v_updated_at, v_is_leaving, v_active_branch, v_last_branch
    from public.conversations as c
    where c.user_id = new.user_id and c.id = new.conversation_id
    for no key update;

    if v_is_leaving then
        -- Its row is still there: with an id that nobody has, the foreign key refuses this one as
        -- that of a conversation that is gone.
        new.conversation_id := gen_random_uuid();
    end if;

    new.seq := v_last_seq + 1;
    new.created_at := greatest(clock_timestamp(), v_updated_at + interval '1 microsecond');

    -- Under the lock: of a row that is there already `on conflict do nothing` uses up no place.
    update public.conversations as c
    set last_seq = new.seq,
        updated_at = new.created_at
    where c.user_id = new.user_id and c.id = new.conversation_id
      and not exists (
          select 1
          from public.messages as m
          where m.user_id = new.user_id and m.id = new.id
      );

    if not found then
        -- No such conversation, or someone else's: the foreign key refuses the row, with one and
        -- the same answer for both cases. Or the row is there already, and its key refuses it.
        new.seq := 0;
        new.created_at := now();
        return new;
    end if;

    -- What was written last may be on another branch than the one that is active.
    new.branch := v_active_branch;
    if v_active_branch <> v_last_branch then
        new.branch := private.begin_branch(
            new.user_id, new.conversation_id, v_active_branch, null, new.seq
        );
    end if;

    if new.role = 'user' then
        perform private.count_bytes(
            new.user_id,
            octet_length(new.content) + octet_length(new.metadata::text)
                + case new.parts when '[]' then 0 else octet_length(new.parts::text) end
                + coalesce(octet_length(new.native::text), 0)
        );
    end if;

    return new;
end;
$$;

comment on function private.assign_message_place is 'Gives every message its seq, its created_at and its branch, under the lock of its conversation, whoever writes.';

-- A row that has its place comes from who may give it one: a turn's from who holds the conversation
-- (add_message), an imported one from its file (take_import_part).
create trigger messages_assign_place
    before insert on public.messages
    for each row
    when (new.seq is null)
    execute function private.assign_message_place();
