-- Written by `make schema` from supabase/schemas. Change the schema there.

-- What all the others stand on: two extensions, and the schemas beside public. What is in public,
-- somebody calls or reads over the Data API, which serves no other schema. An extension that the
-- project has already stays where it is.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

create schema search;

grant usage on schema search to authenticated;

comment on schema search is 'What search_messages stands on. Not for the Data API to serve.';

create schema private;

-- To authenticated as well: functions that run as the caller use a few of its helpers.
grant usage on schema private to authenticated, service_role;

comment on schema private is 'Helpers, trigger functions and the backend''s own tables. Not for the Data API to serve.';

create function public.ping()
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'version', '20261127000001',
        'position', pg_wal_lsn_diff(
            case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
            '0/0'
        )
    );
$$;

revoke all on function public.ping from public, anon, authenticated, service_role;
grant execute on function public.ping to service_role;
comment on function public.ping is 'Answers the version of the newest migration, which a deep health check asks and the doctor compares, and how far the log of this server is, written or replayed: {version, position}.';

-- Rows that are made one after another have ids side by side: with random ones each would be written
-- to another page of an index, which goes into the log whole after each checkpoint.
create function private.new_id()
returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
begin
    return encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    placing substr(
                        int8send((extract(epoch from clock_timestamp()) * 1000)::bigint), 3
                    )
                    from 1 for 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid;
end;
$$;

grant execute on function private.new_id to authenticated, service_role;
comment on function private.new_id is 'A UUID of version 7: the milliseconds of now, then random bits.';

-- A caller with a token passes his own id; the service passes that of the user it acts for.
create function private.require_self(user_id uuid)
returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
    -- Where nobody is signed in, the database itself is calling: a schedule, or its owner.
    if auth.uid() is distinct from user_id
        and current_user <> 'service_role'
        and (auth.uid() is not null or current_user = 'authenticated') then
        raise exception 'Only for yourself.' using errcode = 'PT403', detail = 'forbidden';
    end if;
end;
$$;

grant execute on function private.require_self to authenticated, service_role;
comment on function private.require_self is 'Raises PT403 where a signed-in caller names another user.';

-- A conversation is the unit of ownership and of order: everything below hangs on it,
-- and its row lock is what makes a message's place in it certain.
create table public.conversations (
    id uuid not null default private.new_id(),
    user_id uuid not null default auth.uid(),
    project_id uuid,
    title text not null default 'New Chat',
    metadata jsonb not null default '{}',
    last_seq bigint not null default 0,
    active_branch integer not null default 0,
    last_branch integer not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    archived_at timestamptz,
    imported jsonb,
    restored_at timestamptz,
    deleting_since timestamptz,

    constraint conversations_pkey primary key (id),
    constraint conversations_user_id_id_key unique (user_id, id),
    constraint conversations_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint conversations_last_seq_positive check (last_seq >= 0)
);

create index idx_conversations_user_id
    on public.conversations (user_id, updated_at desc, id desc);

-- What makes a second import of the same thing harmless.
create unique index conversations_imported_key
    on public.conversations (user_id, (imported ->> 'source'), (imported ->> 'id'))
    where imported is not null;

-- What retention's listing reads: the conversations that nobody has written to for longest. As an
-- expression, so that no statement about one user is ever read by it, whatever the statistics say.
create index idx_conversations_idle
    on public.conversations ((updated_at at time zone 'utc'), id);

-- As with messages: a user has many.
alter table public.conversations alter column user_id set (n_distinct = -0.01);

-- What removals read, and each look at messages: there is next to nothing in it.
create index idx_conversations_deleting
    on public.conversations (user_id, id)
    where deleting_since is not null;

alter table public.conversations enable row level security;

create policy select_own on public.conversations
    for select to authenticated
    using (user_id = (select auth.uid()) and deleting_since is null);

create policy insert_own on public.conversations
    for insert to authenticated
    with check (user_id = (select auth.uid()));

create policy update_own on public.conversations
    for update to authenticated
    using (user_id = (select auth.uid()) and deleting_since is null)
    with check (user_id = (select auth.uid()));

create policy delete_own on public.conversations
    for delete to authenticated
    using (user_id = (select auth.uid()) and deleting_since is null);

-- Withheld: last_seq, created_at, updated_at and the branches are the database's to write (and id,
-- for clients), and the owner never changes.
revoke all on table public.conversations from public, anon, authenticated, service_role;
grant select, delete on table public.conversations to authenticated;
grant insert (user_id, project_id, title, metadata) on table public.conversations to authenticated;
grant update (project_id, title, metadata, archived_at) on table public.conversations to authenticated;
grant select, delete on table public.conversations to service_role;
grant insert (id, user_id, project_id, title, metadata, archived_at) on table public.conversations
    to service_role;
grant update (project_id, title, metadata, archived_at) on table public.conversations to service_role;

comment on table public.conversations is 'One conversation between a user and the AI. Owned by user_id alone.';
comment on column public.conversations.last_seq is 'The seq of the newest message; 0 while there is none.';
comment on column public.conversations.active_branch is 'The branch at which the path ends that is shown, given to the AI and written to; 0 while nothing was edited or regenerated. update_conversation chooses another.';
comment on column public.conversations.last_branch is 'The branch with the highest number, which the newest message is on; 0 in a conversation that has only one path.';
comment on column public.conversations.updated_at is 'Last activity: the created_at of the newest message. Renaming and archiving leave it alone.';
comment on column public.conversations.imported is 'Where an imported conversation is from: {source, id, at, by, import, lastSeq, ...}; null for one that began here. Messages up to lastSeq were imported, later ones were written here. Withheld from every writer.';
comment on column public.conversations.restored_at is 'When it last came back from the archive. Written by the database.';
comment on column public.conversations.deleting_since is 'From when on it is to be deleted: -infinity, whatever a clock says, once somebody has, and to come while an import has yet to add messages. Nobody sees such a row, so it is null in every one that is seen. Written by the database.';

-- The conversations that are there. The row of a long one that is being deleted stays until it is
-- empty: whatever reads conversations reads them here, but for what removes them.
create view private.conversations
with (security_invoker = true)
as
select id, user_id, project_id, title, metadata, last_seq, active_branch, last_branch, created_at,
       updated_at, archived_at, imported, restored_at
from public.conversations
where deleting_since is null;

revoke all on table private.conversations from public, anon, authenticated, service_role;
grant select on table private.conversations to authenticated, service_role;
grant update (title, archived_at) on table private.conversations to authenticated, service_role;

comment on view private.conversations is 'Conversations without those that are being deleted, as far as the caller may see them.';

-- Runs as its owner, because the policies hide from a caller which rows are being deleted.
create function private.being_deleted(user_id uuid)
returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    return array(
        select c.id
        from public.conversations as c
        where c.user_id = being_deleted.user_id
          and c.deleting_since is not null
    );
end;
$$;

grant execute on function private.being_deleted to authenticated, service_role;
comment on function private.being_deleted is 'The ids of a user''s conversations that are being deleted: what hangs on them is nobody''s to see.';

create function private.find_conversation(user_id uuid, conversation_id uuid)
returns private.conversations
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
begin
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = find_conversation.user_id and c.id = find_conversation.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    return v_conversation;
end;
$$;

grant execute on function private.find_conversation to authenticated, service_role;
comment on function private.find_conversation is 'A user''s conversation, as far as the caller may see it. Raises PT404.';

-- Clients write metadata of their own over the Data API, which nests as deep as Postgres can hold:
-- far deeper than most readers of JSON follow. Triggers and no checks, as with messages, which would be
-- asked of the whole row each time that a message moves it.
create function private.check_conversation()
returns trigger
language plpgsql security invoker set search_path = ''
as $$
declare
    -- Its name, and why not.
    v_broken constant text[] := case
        when char_length(new.title) not between 1 and 200
            then array['title_length', 'A title has 1 to 200 characters']
        when jsonb_typeof(new.metadata) <> 'object'
            then array['metadata_object', 'Metadata is an object']
        when octet_length(new.metadata::text) > 500000
            then array['metadata_size', 'Metadata of a conversation is larger than 500000 bytes']
        when jsonb_path_exists(new.metadata, 'strict $.**{128}')
            then array['metadata_depth', 'Metadata nests too deep']
        when jsonb_typeof(new.imported) <> 'object'
            then array['imported_object', 'Metadata of an import is an object']
        when octet_length(new.imported::text) > 250000
            then array['imported_size', 'Metadata of an import is larger than 250000 bytes']
    end;
begin
    if v_broken is not null then
        raise exception '%.', v_broken[2]
            using errcode = '23514', table = 'conversations',
                constraint = 'conversations_' || v_broken[1];
    end if;
    return new;
end;
$$;

comment on function private.check_conversation is 'Lets a conversation be stored that may be. Raises 23514, named by what is wrong with it, and says that.';

create trigger conversations_storable
    before insert or update of title, metadata, imported on public.conversations
    for each row
    execute function private.check_conversation();

alter table public.conversations enable always trigger conversations_storable;

-- Restoring is no activity: the place in the list stays, but retention counts idle days from then. And
-- nothing was archived in the future, nor before 1970: no import would take such a moment, and no calendar
-- has some of them. It becomes that of the change.
create function private.note_archiving()
returns trigger
language plpgsql security invoker set search_path = ''
as $$
begin
    if new.archived_at is null then
        new.restored_at := now();
    else
        new.archived_at := now();
    end if;
    return new;
end;
$$;

comment on function private.note_archiving is 'Writes down when a conversation came back from the archive, whoever restored it; or puts now in the place of a moment in the future, or before 1970.';

create trigger conversations_note_restore
    before update of archived_at on public.conversations
    for each row
    when (old.archived_at is not null and new.archived_at is null)
    execute function private.note_archiving();

create trigger conversations_bound_archived_at
    before insert or update of archived_at on public.conversations
    for each row
    when (new.archived_at > now() or new.archived_at < '1970-01-01 00:00:00+00')
    execute function private.note_archiving();

-- The parts of a message, in the shapes of the AI SDK's UI messages: text, reasoning, tool calls, files,
-- sources, data. A message without parts is its content alone. Of a draft, where most is text and grows
-- at its end, a text part has no text of its own: it is the draft's from the part's offset on, up to
-- that of the next.

create function private.are_parts(parts jsonb)
returns boolean
language sql immutable security invoker set search_path = ''
as $$
    -- Strict, so that an array in the place of a part isn't looked into; silent, so that what a part
    -- lacks is no error, but one part fewer.
    select jsonb_typeof(parts) = 'array'
        and not jsonb_path_exists(parts, 'strict $.**{128}')
        and jsonb_array_length(case jsonb_typeof(parts) when 'array' then parts else '[]' end)
            = jsonb_array_length(jsonb_path_query_array(
                parts,
                'strict $[*] ? (
                    (@.type == "text" || @.type == "reasoning") && @.text.type() == "string"
                    || (@.type == "file" || @.type == "reasoning-file")
                        && @.mediaType.type() == "string" && @.url.type() == "string"
                    || @.type == "source-url"
                        && @.sourceId.type() == "string" && @.url.type() == "string"
                    || @.type == "source-document"
                        && @.sourceId.type() == "string" && @.title.type() == "string"
                    || @.type == "step-start"
                    || @.type == "custom" && @.kind.type() == "string"
                    || @.type == "steering-message" && @.parts.type() == "array"
                    || @.type starts with "data-" && exists (@.data)
                    || (@.type starts with "tool-" || @.type == "dynamic-tool")
                        && @.toolCallId.type() == "string"
                        && @.state like_regex "^(input-(streaming|available)|approval-(requested|responded)|output-(available|error|denied))$"
                )',
                '{}',
                true
            ));
$$;

grant execute on function private.are_parts to authenticated, service_role;
comment on function private.are_parts is 'Whether a value is an array of parts of known types, with what each of them can''t do without, nested less deep than 128.';

-- Whichever heartbeat comes last, the newest version of each part stays.
create function private.merge_draft_parts(stored jsonb, changed jsonb)
returns jsonb
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(newest.entry order by newest.place), '[]')
    from (
        select distinct on (place) place, e.entry
        from jsonb_array_elements(stored || changed) as e (entry)
        cross join lateral (select (e.entry ->> 'index')::integer) as i (place)
        order by place, (e.entry ->> 'version')::integer desc
    ) as newest;
$$;

grant execute on function private.merge_draft_parts to service_role;
comment on function private.merge_draft_parts is 'The parts of a draft, [{index, offset, version, part}], with those that have changed.';

create function private.draft_version(draft_parts jsonb)
returns integer
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(max((e.entry ->> 'version')::integer), 0)
    from jsonb_array_elements(draft_parts) as e (entry);
$$;

revoke all on function private.draft_version from public, anon, authenticated, service_role;
grant execute on function private.draft_version to service_role;
comment on function private.draft_version is 'How many changes the parts of a draft have had.';

create function private.parts_of_draft(draft text, draft_parts jsonb)
returns jsonb
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(
        jsonb_agg(
            case p.part ->> 'type'
                when 'text' then p.part || jsonb_build_object(
                    'text', substr(draft, p.starts_at + 1, coalesce(p.next_at, p.ends_at) - p.starts_at)
                )
                else p.part
            end
            order by p.place
        ),
        '[]'
    )
    from (
        select e.entry -> 'part' as part, i.*,
               greatest(char_length(draft), i.starts_at) as ends_at,
               lead(i.starts_at) over (order by i.place) as next_at
        from jsonb_array_elements(draft_parts) as e (entry)
        cross join lateral (
            select (e.entry ->> 'index')::integer, (e.entry ->> 'offset')::integer
        ) as i (place, starts_at)
    ) as p;
$$;

grant execute on function private.parts_of_draft to authenticated, service_role;
comment on function private.parts_of_draft is 'The parts of a draft as those of a message: each text part with its text.';

-- What a model is given of a message beside its text, as shared/ai/tokens.py counts it.
create function private.bytes_beside_text(role text, parts jsonb)
returns bigint
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(sum(
        case
            when p.part ->> 'type' like 'tool-%' or p.part ->> 'type' = 'dynamic-tool'
                then octet_length(p.part::text)
            when p.part ->> 'type' = 'file' and role = 'user' then 3000
            else 0
        end
    ), 0)
    from jsonb_array_elements(parts) as p (part);
$$;

grant execute on function private.bytes_beside_text to authenticated, service_role;
comment on function private.bytes_beside_text is 'How many bytes a message''s parts count for in a history, beside its text.';

-- Texts that another part sets apart are apart in content too, by white space: none of it counts here.
create function private.parts_agree(content text, metadata jsonb, parts jsonb)
returns boolean
language sql immutable security invoker set search_path = ''
as $$
    select case
        when s.said <> '' then s.said = regexp_replace(content, '\s', '', 'g')
        else content in ('', coalesce(metadata -> 'error' ->> 'message', ''))
    end
    from (
        select regexp_replace(
            coalesce(string_agg(p.part ->> 'text', '' order by p.place), ''), '\s', '', 'g'
        ) as said
        from jsonb_array_elements(parts) with ordinality as p (part, place)
        where p.part ->> 'type' = 'text'
    ) as s;
$$;

comment on function private.parts_agree is 'Whether a message''s content is the text of its parts, or where they have none its error''s sentence.';

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

-- A conversation is a tree, written down in one order. An edit, and a reply that is made once more,
-- begin a branch; so does whatever is written while another path is active than the one that was
-- written to last. A branch is therefore one stretch of seq: from its first_seq to the next branch's.
-- Branch 0 begins at 1 and has no row, so that a conversation with one path costs nothing.
create table public.branches (
    user_id uuid not null,
    conversation_id uuid not null,
    branch integer not null,
    parent integer not null,
    fork_seq bigint not null,
    first_seq bigint not null,
    created_at timestamptz not null default now(),

    constraint branches_pkey primary key (user_id, conversation_id, branch),
    constraint branches_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade,
    constraint branches_parent_is_earlier check (parent >= 0 and parent < branch),
    constraint branches_fork_is_earlier check (fork_seq >= 0 and fork_seq < first_seq)
);

alter table public.branches enable row level security;

create policy select_own on public.branches
    for select to authenticated
    using (
        user_id = (select auth.uid())
        and (
            (select cardinality(private.being_deleted((select auth.uid()))) = 0)
            or conversation_id <> all ((select private.being_deleted((select auth.uid())))::uuid[])
        )
    );

-- Withheld from clients and the service: every write. A branch begins in the transaction that writes
-- its first message or begins its turn.
revoke all on table public.branches from public, anon, authenticated, service_role;
grant select on table public.branches to authenticated, service_role;

comment on table public.branches is 'From where each branch of a conversation goes on, but for branch 0. Clients may read their own. No policy for insert, update, delete: begin_turn and the trigger of messages write it.';
comment on column public.branches.parent is 'The branch that it goes on from; its number is lower.';
comment on column public.branches.fork_seq is 'The last seq that it has in common with its parent; 0 where it begins the conversation once more.';
comment on column public.branches.first_seq is 'Its first message''s seq, or where that will be; it ends before the next branch''s.';

-- Runs as its owner, as whatever sends live events does.
create function private.activate_branch(user_id uuid, conversation_id uuid, branch integer)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    update private.conversations as c
    set active_branch = activate_branch.branch
    where c.user_id = activate_branch.user_id and c.id = activate_branch.conversation_id;

    perform realtime.send(
        jsonb_build_object('activeBranch', branch),
        'branch',
        'conversation:' || conversation_id,
        true
    );
end;
$$;

comment on function private.activate_branch is 'Makes a branch the active one, and says so to the conversation''s topic as part of this transaction.';

-- What begins at a branch's first message begins where that branch does, and is its sibling.
create function private.begin_branch(
    user_id uuid,
    conversation_id uuid,
    parent integer,
    fork_seq bigint,
    first_seq bigint
)
returns integer
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_parent integer := begin_branch.parent;
    v_fork_seq bigint := begin_branch.fork_seq;
    v_branch integer;
    v_above record;
begin
    if v_fork_seq is null then
        select b.first_seq - 1 into v_fork_seq
        from public.branches as b
        where b.user_id = begin_branch.user_id
          and b.conversation_id = begin_branch.conversation_id
          and b.branch = begin_branch.parent + 1;
    end if;

    loop
        select b.parent, b.fork_seq into v_above
        from public.branches as b
        where b.user_id = begin_branch.user_id
          and b.conversation_id = begin_branch.conversation_id
          and b.branch = v_parent
          and b.first_seq > v_fork_seq;

        exit when not found;
        v_parent := v_above.parent;
        v_fork_seq := v_above.fork_seq;
    end loop;

    update private.conversations as c
    set last_branch = c.last_branch + 1,
        active_branch = c.last_branch + 1
    where c.user_id = begin_branch.user_id and c.id = begin_branch.conversation_id
    returning c.last_branch into v_branch;

    insert into public.branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)
    values (begin_branch.user_id, begin_branch.conversation_id, v_branch, v_parent, v_fork_seq,
            begin_branch.first_seq);
    return v_branch;
end;
$$;

comment on function private.begin_branch is 'Begins a branch at a place, or with none at the end of its parent, which others have followed; makes it active, and returns its number. The caller holds the conversation''s lock.';

-- Imported rows that were a system's are stored as a user's: nobody may speak in their place.
create function private.find_forked(user_id uuid, conversation_id uuid, message_id uuid)
returns public.messages
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message public.messages;
begin
    select m.* into v_message
    from public.messages as m
    where m.user_id = find_forked.user_id and m.id = find_forked.message_id;

    if not found or v_message.conversation_id <> find_forked.conversation_id then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    elsif v_message.role = 'system'
        or exists (
            select 1
            from private.conversations as c
            where c.user_id = find_forked.user_id and c.id = find_forked.conversation_id
              and (c.imported -> 'system' @> to_jsonb(v_message.seq)
                   or c.imported -> 'summaries' @> to_jsonb(v_message.seq))
        )
    then
        raise exception 'This message can''t be edited or regenerated.'
            using errcode = 'PT422', detail = 'message_not_editable';
    end if;
    return v_message;
end;
$$;

grant execute on function private.find_forked to service_role;
comment on function private.find_forked is 'A message of this conversation that was a user''s or a reply. Raises PT404, PT422.';

create function private.find_answered(
    user_id uuid,
    conversation private.conversations,
    message_id uuid
)
returns public.messages
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message public.messages := private.find_forked(user_id, conversation.id, message_id);
    v_turn public.turns;
    v_answered uuid;
    v_path int8multirange;
begin
    if v_message.role = 'user' then
        return v_message;
    end if;

    select t.* into v_turn
    from public.turns as t
    where t.user_id = find_answered.user_id and t.id = v_message.turn_id;

    v_answered := (private.message_of_turn(user_id, v_turn)).id;
    if v_answered is null then
        v_path := private.path_to(user_id, conversation, before => v_message.seq);

        select m.id into v_answered
        from public.messages as m
        where m.user_id = find_answered.user_id
          and m.conversation_id = find_answered.conversation.id
          and m.seq < v_message.seq
          and m.seq <@ v_path
          and m.role = 'user'
        order by m.seq desc
        limit 1;
    end if;

    if v_answered is null then
        raise exception 'This message can''t be edited or regenerated.'
            using errcode = 'PT422', detail = 'message_not_editable';
    end if;
    return private.find_forked(user_id, conversation.id, v_answered);
end;
$$;

grant execute on function private.find_answered to service_role;
comment on function private.find_answered is 'The user''s message that a reply answers, by its turn, else the nearest above it; of a user''s message, itself. Raises PT404, PT422.';

-- Runs as its owner, because the service may write neither branches nor which is active.
create function private.fork_conversation(
    user_id uuid,
    conversation private.conversations,
    edits uuid,
    regenerates uuid
)
returns private.conversations
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_beside constant public.messages := private.find_forked(
        user_id, conversation.id, coalesce(edits, regenerates)
    );
    v_fork_seq bigint := v_beside.seq - 1;
begin
    if edits is not null and v_beside.role <> 'user' then
        raise exception 'This message can''t be edited or regenerated.'
            using errcode = 'PT422', detail = 'message_not_editable';
    elsif edits is null and v_beside.role = 'user' then
        v_fork_seq := v_beside.seq;
    end if;

    -- A message that nothing follows is answered where it stands.
    if v_fork_seq < conversation.last_seq then
        conversation.last_branch := private.begin_branch(
            user_id, conversation.id, v_beside.branch, v_fork_seq, conversation.last_seq + 1
        );
    end if;
    if conversation.last_branch <> conversation.active_branch then
        conversation.active_branch := conversation.last_branch;
        perform private.activate_branch(user_id, conversation.id, conversation.active_branch);
    end if;
    return conversation;
end;
$$;

grant execute on function private.fork_conversation to service_role;
comment on function private.fork_conversation is 'Begins the branch of an edit or of a reply that is made once more, beside what is there, and makes it active. The caller holds the conversation, and is given it as it is then. Raises PT404, PT422.';

-- Runs as its owner, as the one above. A turn's reply goes to the branch that is active: it stays so
-- while the turn runs.
create function private.choose_branch(user_id uuid, conversation_id uuid, branch integer)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_here private.conversations;
    v_branch integer;
begin
    perform private.require_self(user_id);

    select c.* into v_here
    from private.conversations as c
    where c.user_id = choose_branch.user_id and c.id = choose_branch.conversation_id
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_branch := private.path_end(
        private.branches_of(user_id, v_here), branch, v_here.last_seq
    );
    if v_branch = v_here.active_branch then
        return;
    end if;

    perform public.settle_expired_turn(user_id, conversation_id);
    if exists (
        select 1
        from public.turns as t
        where t.user_id = choose_branch.user_id
          and t.conversation_id = choose_branch.conversation_id
          and t.status = 'running'
    ) then
        raise exception 'A turn is still running in this conversation.'
            using errcode = 'PT409', detail = 'turn_in_progress';
    end if;
    perform private.activate_branch(user_id, conversation_id, v_branch);
end;
$$;

grant execute on function private.choose_branch to authenticated, service_role;
comment on function private.choose_branch is 'Makes the path through a branch the one that is shown and written to. Raises PT403, PT404, PT409 while a turn runs.';

-- A path is the messages from a conversation's first to the last of a branch: a set of seq, which is
-- a few ranges, since a branch is one and what it has in common with its parent are others. Seq has no
-- gaps, so a page of a path, its length and what comes before a place are found by counting.

-- All that is known of a conversation's tree, in one look: b[n] is branch n.
create function private.branches_of(user_id uuid, conversation private.conversations)
returns public.branches[]
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if conversation.last_branch = 0 then
        return '{}';
    end if;
    return array(
        select b
        from public.branches as b
        where b.user_id = branches_of.user_id and b.conversation_id = branches_of.conversation.id
        order by b.branch
    );
end;
$$;

grant execute on function private.branches_of to authenticated, service_role;
comment on function private.branches_of is 'A conversation''s branches but for 0, in the order of their numbers.';

create function private.path_along(branches public.branches[], branch integer, last_seq bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_branch integer := branch;
    v_until bigint := coalesce(branches[branch + 1].first_seq, last_seq + 1);
    v_ranges int8range[] := '{}';
begin
    while v_branch > 0 loop
        v_ranges := v_ranges
            || int8range(branches[v_branch].first_seq, greatest(v_until, branches[v_branch].first_seq));
        v_until := branches[v_branch].fork_seq + 1;
        v_branch := branches[v_branch].parent;
    end loop;
    return int8multirange(variadic v_ranges || int8range(1, v_until));
end;
$$;

grant execute on function private.path_along to authenticated, service_role;
comment on function private.path_along is 'The seqs of the path that ends with one of a conversation''s branches.';

create function private.path_to(
    user_id uuid,
    conversation private.conversations,
    branch integer default null,
    before bigint default null
)
returns int8multirange
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_branches public.branches[];
    v_branch integer;
begin
    if conversation.last_branch = 0 then
        return int8multirange(int8range(1, coalesce(before, conversation.last_seq + 1)));
    end if;

    v_branches := private.branches_of(user_id, conversation);
    v_branch := coalesce(branch, cardinality(v_branches));
    while v_branch > 0 and v_branches[v_branch].first_seq > before loop
        v_branch := v_branch - 1;
    end loop;
    return private.path_along(v_branches, v_branch, conversation.last_seq)
        * int8multirange(int8range(null, before));
end;
$$;

grant execute on function private.path_to to authenticated, service_role;
comment on function private.path_to is 'The seqs of the path that ends with a branch, or of that to a message, before its own.';

-- Numbers grow with time: the path that was written to last ends with the highest.
create function private.path_end(
    branches public.branches[],
    branch integer,
    last_seq bigint,
    seq bigint default null
)
returns integer
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_seq bigint := coalesce(seq, branches[branch + 1].first_seq - 1, last_seq);
    v_end integer := branch;
    v_is_through boolean[] := '{}';
    v_next public.branches;
begin
    if (branch between 0 and cardinality(branches)) is not true then
        raise exception 'Branch not found.'
            using errcode = 'PT404', detail = 'branch_not_found';
    end if;

    foreach v_next in array branches[branch + 1:] loop
        if v_next.parent = branch and v_next.fork_seq >= v_seq or v_is_through[v_next.parent] then
            v_is_through[v_next.branch] := true;
            v_end := v_next.branch;
        end if;
    end loop;
    return v_end;
end;
$$;

grant execute on function private.path_end to authenticated, service_role;
comment on function private.path_end is 'With which of a conversation''s branches the path ends that was written to last, of those through a message of a branch, or through all of it. Raises PT404.';

-- Mostly all of them are in one range.
create function private.part_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_part constant int8range := case
        when isempty(path) then 'empty'
        when most < 0 then int8range(greatest(lower(path), upper(path) + most), upper(path))
        else int8range(lower(path), least(upper(path), lower(path) + most))
    end;
begin
    if v_part <@ path then
        return int8multirange(v_part);
    end if;
    return (
        select coalesce(range_agg(case
            when most < 0 then int8range(greatest(lower(r), upper(r) - room), upper(r))
            else int8range(lower(r), least(upper(r), lower(r) + room))
        end), '{}')
        from (
            select r, abs(most) - coalesce(sum(upper(r) - lower(r)) over (
                order by lower(r) * sign(most)
                rows between unbounded preceding and 1 preceding
            ), 0)::bigint as room
            from unnest(path) as r
        ) as ranges
        where room > 0
    );
end;
$$;

grant execute on function private.part_of to authenticated, service_role;
comment on function private.part_of is 'So many seqs of a path, from its start on; with a number below 0, from its end back.';

create function private.length_of(path int8multirange)
returns bigint
language plpgsql immutable security invoker set search_path = ''
as $$
begin
    if path = int8multirange(range_merge(path)) then
        return coalesce(upper(path) - lower(path), 0); -- as most are: without a look
    end if;
    return (select sum(upper(r) - lower(r)) from unnest(path) as r);
end;
$$;

grant execute on function private.length_of to authenticated, service_role;
comment on function private.length_of is 'How many seqs a path has.';

-- Siblings are the messages that follow one place: the first of each branch that begins there, and the
-- one that its parent goes on with. Each is given with the branch at which the path ends that was
-- written to last of those through it, since that is what somebody who turns to it wants to see.
create function private.find_siblings(
    user_id uuid,
    conversation_id uuid,
    page int8multirange,
    branches public.branches[],
    last_seq bigint
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_around constant integer := 10; -- beside a message, on each side
    v_parents constant integer[] := array(
        select b.parent
        from unnest(find_siblings.branches) as b
        where b.first_seq <@ find_siblings.page or b.fork_seq + 1 <@ find_siblings.page
    );
    v_ends integer[] := '{}'; -- with which branch the path ends that goes on from each
    v_parent integer;
begin
    if v_parents = '{}' then
        return '{}';
    end if;

    for v_branch in reverse cardinality(branches)..1 loop
        v_parent := branches[v_branch].parent;
        v_ends[v_branch] := greatest(v_ends[v_branch], v_branch);
        v_ends[v_parent] := greatest(v_ends[v_parent], v_ends[v_branch]);
    end loop;

    return (
        with children as (
            select b.*, v_ends[b.branch] as ends_with
            from unnest(find_siblings.branches) as b
            where b.parent = any (v_parents)
        ),
        following as (
            select c.parent, c.fork_seq, c.first_seq as seq, c.branch as written_on, c.ends_with
            from children as c
            union all
            select c.parent, c.fork_seq, c.fork_seq + 1, c.parent, greatest(c.parent, (
                select max(later.ends_with)
                from children as later
                where later.parent = c.parent and later.fork_seq > c.fork_seq
            ))
            from (
                select distinct parent, fork_seq
                from children
                where fork_seq + 1 <@ find_siblings.page or first_seq <@ find_siblings.page
            ) as c
        ),
        placed as (
            select f.*,
                   row_number() over (partition by f.parent, f.fork_seq order by f.seq) as position,
                   count(*) over (partition by f.parent, f.fork_seq) as siblings
            from following as f
            where f.seq < coalesce(
                find_siblings.branches[f.written_on + 1].first_seq, find_siblings.last_seq + 1
            )
        )
        select coalesce(jsonb_object_agg(s.id, s.described), '{}')
        from (
            select (array_agg(m.id) filter (where o.seq = p.seq))[1] as id,
                   jsonb_build_object('position', p.position, 'count', p.siblings, 'messages', jsonb_agg(
                       jsonb_build_object('id', m.id, 'branch', o.ends_with) order by o.position
                   )) as described
            from placed as p
            join placed as o
                on (o.parent, o.fork_seq) = (p.parent, p.fork_seq)
                and abs(o.position - p.position) <= c_around
            cross join lateral (
                select id
                from public.messages
                where messages.user_id = find_siblings.user_id
                  and messages.conversation_id = find_siblings.conversation_id
                  and messages.seq = o.seq
                offset 0
            ) as m
            where p.seq <@ find_siblings.page
              and p.siblings > 1
            group by p.parent, p.fork_seq, p.seq, p.position, p.siblings
        ) as s
        where s.id is not null
    );
end;
$$;

grant execute on function private.find_siblings to authenticated, service_role;
comment on function private.find_siblings is 'For each message of a page that has siblings, by its id: its position among them, how many there are, and the nearest with their branches.';

-- Live events on the private topic conversation:<id>. They are sent inside the transaction that
-- writes the row, so none is about something that was rolled back. They are hints: the
-- tables are the truth, and realtime.send turns its own failures into warnings.
create function private.broadcast_message()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if coalesce(current_setting('message_persistence.is_importing', true), '') = '' then
        perform private.broadcast(new.conversation_id, message => to_jsonb(new));
    end if;
    return null;
end;
$$;

comment on function private.broadcast_message is 'Sends a message that this transaction commits to its conversation''s topic, but for one that is imported: who is listening sees a gap before the next one.';

create trigger messages_broadcast
    after insert on public.messages
    for each row
    when (new.turn_id is null) -- a turn's is sent with the turn's status
    execute function private.broadcast_message();

-- What realtime.send does for one event, done for both of a commit at once: that takes a transaction of
-- its own within this one for each. Where the platform's table isn't what it is here, it is left to that
-- function. Runs as its owner, as the one above: the statements would be planned again each time that
-- another role calls it.
create function private.broadcast(
    conversation_id uuid,
    turn_id uuid default null,
    status text default null,
    failure text default null,
    message jsonb default null
)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
    -- Realtime carries 256 kB a payload on the smallest plan; larger rows are fetched.
    c_row_limit constant integer := 32768;
    v_topic constant text := 'conversation:' || conversation_id;
    v_message jsonb;
    v_status jsonb;
begin
    if message is not null then
        v_message := jsonb_build_object(
            'id', message -> 'id',
            'seq', message -> 'seq',
            'role', message -> 'role',
            'turnId', message -> 'turn_id',
            'row', message
        );
        if pg_column_size(message) > c_row_limit then
            v_message := v_message - 'row';
        end if;
    end if;
    if status is not null then
        v_status := jsonb_strip_nulls(jsonb_build_object(
            'turnId', turn_id, 'status', status, 'message', failure
        ));
    end if;

    -- With ids that grow: random ones would each be on another page of the platform's index.
    insert into realtime.messages (id, topic, extension, event, payload, private)
    select private.new_id(), v_topic, 'broadcast', e.event, e.payload, true
    from (values ('message', v_message), ('status', v_status)) as e (event, payload)
    where e.payload is not null;
exception
    when others then
        if message is not null then
            perform realtime.send(v_message, 'message', v_topic, true);
        end if;
        if status is not null then
            perform realtime.send(v_status, 'status', v_topic, true);
        end if;
end;
$$;

grant execute on function private.broadcast to service_role;
comment on function private.broadcast is 'Sends a message, with its row while that is small, and behind it a turn''s status to their conversation''s topic, either or both, as part of this transaction.';

-- Only the owner listens. The topic is compared as text: a stranger's odd topic must not raise.
-- There is no policy for insert, so clients can't send. As text, since the migration that makes it
-- stands by itself, and the doctor prints it where it is missing.
create function private.listen_policy()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select $policy$create policy listen_to_own_conversation on realtime.messages
    for select to authenticated
    using (
        realtime.messages.extension = 'broadcast'
        and exists (
            select 1
            from public.conversations
            where conversations.user_id = (select auth.uid())
              and 'conversation:' || conversations.id::text = (select realtime.topic())
        )
    );$policy$;
$$;

comment on function private.listen_policy is 'The statement that lets owners listen to their conversations.';

-- Live events carry what was said. Only Realtime may delete them, which it does after three days:
-- their content goes at once with their conversation, whoever deletes it. Runs as its owner, because
-- no policy lets a client change them, and never stands in the way of a removal, a limit on time
-- included. By day, in which the events are kept, and not beyond the life of what is removed, with a
-- day more: the clock may have been set since, and that of an import is another one.
create function private.forget_events()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    update realtime.messages as m
    set topic = 'erased',
        payload = '{}'
    from removed as r
    where m.topic = 'conversation:' || r.id
      and m.extension = 'broadcast'
      and m.private is true -- as the index of hosted projects has it
      and m.inserted_at
          >= greatest(r.created_at - interval '1 day', now() - interval '4 days') at time zone 'utc';

    return null;
exception
    when query_canceled or others then
        raise warning 'live events of deleted conversations are left to Realtime: %', sqlstate;
        return null;
end;
$$;

comment on function private.forget_events is 'Empties the live events of conversations that were deleted, as far as that is allowed.';

create trigger conversations_forget_events
    after delete on public.conversations
    referencing old table as removed
    for each statement
    execute function private.forget_events();

-- Also where a user is moved away: no erasure would find them here later.
alter table public.conversations enable always trigger conversations_forget_events;

-- What turns leave behind beside their rows: keys that outlive a deleted conversation, so that a late
-- retry brings nothing back, and moments that a limit counts, else whoever deletes as they go, or has
-- nothing stored, would have no limit.
create table private.turn_usage (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    key_hash bytea,
    started_at timestamptz not null,
    tokens bigint not null default 0,

    constraint turn_usage_pkey primary key (id),
    constraint turn_usage_user_id_key_hash_key unique (user_id, key_hash),
    constraint turn_usage_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

create index idx_turn_usage_user_id on private.turn_usage (user_id, started_at);

alter table private.turn_usage enable row level security;

create policy withheld on private.turn_usage for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: all but reading.
revoke all on table private.turn_usage from public, anon, authenticated, service_role;
grant select on table private.turn_usage to service_role;

comment on table private.turn_usage is 'Turns that have no row in turns: those of deleted conversations, for as long as the account exists, and those that store nothing, for a day and until the next one. No policy for select, insert, update, delete: a trigger, count_unstored_turn and add_tokens alone write it.';
comment on column private.turn_usage.id is 'The turn''s own, where it had a row.';
comment on column private.turn_usage.key_hash is 'SHA-256 of a turn''s idempotency key; null for a turn that stored nothing.';

create function private.note_turn_usage()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into private.turn_usage (id, user_id, key_hash, started_at, tokens)
    select r.id, r.user_id, sha256(convert_to(r.idempotency_key, 'utf8')), r.started_at, r.tokens
    from removed as r
    join auth.users as u on u.id = r.user_id -- of an account that is being deleted, nothing stays
    for key share of u nowait -- whoever deletes an account waits for its conversations
    on conflict (user_id, key_hash) do nothing;

    return null;
end;
$$;

comment on function private.note_turn_usage is 'Keeps the keys of turns whose conversation is deleted, when they began and what they took.';

create trigger turns_note_usage
    after delete on public.turns
    referencing old table as removed
    for each statement
    execute function private.note_turn_usage();

-- Runs as its owner, because nobody may write what limits count.
create function private.require_turns_left(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer,
    tokens_per_day bigint
)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_limit record;
    v_now timestamptz;
    v_next timestamptz;
begin
    if num_nonnulls(turns_per_minute, turns_per_day, tokens_per_day) = 0 then
        return;
    end if;

    -- Whoever begins a turn holds the user's row: two at once can't both take the last place.
    insert into private.bytes_written (user_id, bytes, counted_at)
    values (require_turns_left.user_id, 0, now())
    on conflict (user_id) do nothing;

    perform 1
    from private.bytes_written as w
    where w.user_id = require_turns_left.user_id
    for update;

    -- Under the lock: whatever began in the future did so before the clock was set back.
    v_now := clock_timestamp();
    for v_limit in
        select *
        from (values
            (turns_per_minute + 1::bigint, interval '1 minute', 'minute', 'turns'),
            (turns_per_day + 1::bigint, interval '1 day', 'day', 'turns'),
            (tokens_per_day, interval '1 day', 'day', 'tokens')
        ) as limits (least_refused, period, name, counted)
        where least_refused is not null
    loop
        -- When this one leaves the period, those since are fewer.
        select spent.started_at + v_limit.period into v_next
        from (
            select begun.started_at,
                   sum(case v_limit.counted when 'tokens' then begun.tokens else 1 end)
                       over (order by begun.started_at desc) as so_far
            from (
                select t.started_at, t.tokens
                from public.turns as t
                where t.user_id = require_turns_left.user_id
                  and t.started_at > v_now - v_limit.period and t.started_at <= v_now
                union all
                select u.started_at, u.tokens
                from private.turn_usage as u
                where u.user_id = require_turns_left.user_id
                  and u.started_at > v_now - v_limit.period and u.started_at <= v_now
            ) as begun
        ) as spent
        where spent.so_far >= v_limit.least_refused
        order by spent.started_at desc
        limit 1;

        if found and v_limit.counted = 'turns' then
            raise exception 'Too many turns this %. Try again in % seconds.',
                v_limit.name, greatest(1, ceil(extract(epoch from v_next - v_now)))
                using errcode = 'PT429', detail = 'too_many_turns';
        elsif found then
            raise exception 'Too many tokens this day. Try again in % seconds.',
                greatest(1, ceil(extract(epoch from v_next - v_now)))
                using errcode = 'PT429', detail = 'too_many_tokens';
        end if;
    end loop;
end;
$$;

grant execute on function private.require_turns_left to service_role;
comment on function private.require_turns_left is 'Raises PT429 where the turn that this transaction has begun is one more than a minute or a day allows, or where a day''s tokens are spent; null is no limit. Locks the user''s limits until the end.';

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.count_unstored_turn(
    user_id uuid,
    turns_per_minute integer,
    turns_per_day integer,
    tokens_per_day bigint
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_id uuid;
begin
    -- What no limit looks back to any more.
    delete from private.turn_usage as u
    where u.user_id = count_unstored_turn.user_id
      and u.key_hash is null
      and u.started_at <= now() - interval '1 day';

    insert into private.turn_usage (user_id, started_at)
    values (count_unstored_turn.user_id, now())
    returning id into v_id;

    perform private.require_turns_left(user_id, turns_per_minute, turns_per_day, tokens_per_day);
    return jsonb_build_object('id', v_id);
end;
$$;

revoke all on function public.count_unstored_turn from public, anon, authenticated, service_role;
grant execute on function public.count_unstored_turn to service_role;
comment on function public.count_unstored_turn is 'Counts a turn of which nothing is stored towards its user''s limits. Answers {id}, by which add_tokens knows it. Raises PT429 where none is left.';

-- Runs as its owner: the service may not write what limits count, except for this.
create function public.add_tokens(user_id uuid, turn_id uuid, tokens bigint)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
begin
    update public.turns as t
    set tokens = t.tokens + add_tokens.tokens
    where t.user_id = add_tokens.user_id and t.id = add_tokens.turn_id;

    if not found then
        update private.turn_usage as u
        set tokens = u.tokens + add_tokens.tokens
        where u.user_id = add_tokens.user_id and u.id = add_tokens.turn_id;
    end if;
    return jsonb_build_object('is_counted', found);
end;
$$;

revoke all on function public.add_tokens from public, anon, authenticated, service_role;
grant execute on function public.add_tokens to service_role;
comment on function public.add_tokens is 'Counts tokens towards a turn that is settled, deleted, or was never stored. Answers {is_counted}: false where nothing is known of it, as with the account.';

-- A summary is one more message. What it covers stays stored, and is shown as ever.
create table public.summaries (
    id uuid not null,
    conversation_id uuid not null,
    user_id uuid not null,
    through_message_id uuid not null,
    created_at timestamptz not null default now(),

    constraint summaries_pkey primary key (user_id, id),
    constraint summaries_user_id_through_message_id_key unique (user_id, through_message_id),
    constraint summaries_user_id_id_fkey foreign key (user_id, id)
        references public.messages (user_id, id) on delete cascade,
    constraint summaries_user_id_through_message_id_fkey foreign key (user_id, through_message_id)
        references public.messages (user_id, id) on delete cascade,
    constraint summaries_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade
);

create index idx_summaries_user_id_conversation_id on public.summaries (user_id, conversation_id);

alter table public.summaries enable row level security;

create policy select_own on public.summaries
    for select to authenticated
    using (
        user_id = (select auth.uid())
        and (
            (select cardinality(private.being_deleted((select auth.uid()))) = 0)
            or conversation_id <> all ((select private.being_deleted((select auth.uid())))::uuid[])
        )
    );

-- Withheld from clients: every write. Only this table says what the AI may take for a summary of
-- ours: is_summary and metadata may come from anywhere that messages are copied from.
revoke all on table public.summaries from public, anon, authenticated, service_role;
grant select on table public.summaries to authenticated;
grant select, insert on table public.summaries to service_role;

comment on table public.summaries is 'Which messages are summaries that the backend wrote, and the newest message that each covers. Clients may read their own. No policy for insert, update, delete: write_summary writes it.';
comment on column public.summaries.id is 'The message that is the summary.';
comment on column public.summaries.through_message_id is 'The newest message it covers; it covers every one before on the path to that, too. Paths without that message have no use for it. A message rather than a seq, since a repair may renumber messages.';

-- By ids alone, from the summaries, of which there are few, to what they cover: where most conversations
-- are of two messages, the planner takes every one for as short, and would join all of a long one with
-- itself.
create function private.newest_summary(
    user_id uuid,
    conversation_id uuid,
    inout path int8multirange,
    out seq bigint,
    out content text,
    out through_seq bigint
)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    select (array_agg(m.seq order by through.seq desc) filter (where through.seq <@ path))[1],
           (array_agg(m.content order by through.seq desc) filter (where through.seq <@ path))[1],
           max(through.seq) filter (where through.seq <@ path),
           path - coalesce(range_agg(int8range(m.seq, m.seq, '[]')), '{}')
    into seq, content, through_seq, path
    from public.summaries as s
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = s.user_id and messages.id = s.id
        offset 0
    ) as m
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = s.user_id and messages.id = s.through_message_id
        offset 0
    ) as through
    where s.user_id = newest_summary.user_id and s.conversation_id = newest_summary.conversation_id
      and m.conversation_id = s.conversation_id
      and through.conversation_id = s.conversation_id;
end;
$$;

grant execute on function private.newest_summary to authenticated, service_role;
comment on function private.newest_summary is 'The newest summary of a path, which is one whose newest message is on it: its place, its text, and the place up to which it covers, nulls where there is none; and the path without any summary.';

create function public.load_unsummarised(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set enable_sort = off -- as with a history
set jit = off
as $$
#variable_conflict use_column
declare
    c_message_tokens constant integer := 4;
    -- A quarter of the budget stays word for word, so the newest two messages do at least.
    v_budget constant integer := greatest(history_tokens, 0);
    v_kept constant integer := v_budget / 4;
    v_page constant integer := v_budget / 2;
    v_longest constant integer := greatest(v_budget / 8, c_message_tokens + 1);
    v_previous text;
    v_covered bigint;
    v_row record;
    v_tokens bigint := 0;
    v_through bigint := 0;
    v_last bigint;
    v_conversation private.conversations;
    v_path int8multirange;
    v_messages jsonb[] := '{}';
begin
    v_conversation := private.find_conversation(user_id, conversation_id);

    -- Of the path that was written to last: the reply that made this due is on it.
    select n.path, n.content, coalesce(n.through_seq, 0)
    into v_path, v_previous, v_covered
    from private.newest_summary(
        user_id, conversation_id,
        private.path_to(user_id, v_conversation, v_conversation.last_branch)
    ) as n;

    v_path := v_path * int8multirange(int8range(v_covered + 1, null));

    for v_row in
        select m.seq, (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
        from (select part from unnest(v_path) as part order by part desc) as newest_first (part)
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_unsummarised.user_id
              and messages.conversation_id = load_unsummarised.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq desc
            offset 0
        ) as m
    loop
        v_tokens := v_tokens + least(v_row.tokens, v_longest);
        if v_tokens > v_kept then
            v_through := v_row.seq;
            exit;
        end if;
    end loop;

    v_tokens := 0;
    for v_row in
        select m.seq, m.role, left(m.content, v_longest * 3) as content,
               case
                   when m.role = 'assistant' and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure,
               (octet_length(m.content) + 2) / 3 + c_message_tokens as tokens
        from (
            select part
            from unnest(v_path * int8multirange(int8range(null, v_through + 1))) as part
            order by part
        ) as oldest_first (part)
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_unsummarised.user_id
              and messages.conversation_id = load_unsummarised.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq
            offset 0
        ) as m
    loop
        v_tokens := v_tokens + least(v_row.tokens, v_longest);
        exit when v_tokens > v_page and v_last is not null;
        v_last := v_row.seq;
        v_messages := v_messages || to_jsonb(v_row) - 'tokens';
    end loop;

    return jsonb_build_object(
        'previous', v_previous,
        'messages', to_jsonb(v_messages),
        'covers_to', v_last,
        'longest', v_longest
    );
end;
$$;

revoke all on function public.load_unsummarised from public, anon, authenticated, service_role;
grant execute on function public.load_unsummarised to service_role;
comment on function public.load_unsummarised is 'Of the path that was written to last, the oldest messages that no summary covers, and that are behind the newest quarter of the budget: at most half of the budget at once. Answers {previous, messages, covers_to, longest}. Raises PT404.';

create function public.write_summary(
    user_id uuid,
    conversation_id uuid,
    message_id uuid,
    covers_to bigint,
    content text,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_here private.conversations;
    v_path int8multirange;
    v_through_id uuid;
    v_message jsonb;
begin
    select c.* into v_here
    from private.conversations as c
    where c.user_id = write_summary.user_id and c.id = write_summary.conversation_id
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    select m.id into v_through_id
    from public.messages as m
    where m.user_id = write_summary.user_id and m.conversation_id = write_summary.conversation_id
      and m.seq = write_summary.covers_to;

    if not found then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    end if;

    v_path := private.path_to(user_id, v_here, v_here.last_branch);

    if not covers_to <@ v_path then
        -- Somebody has gone on with another path, which has no use for it.
        return jsonb_build_object('outcome', 'elsewhere');
    elsif exists (
        select 1
        from public.summaries as s
        join public.messages as through
            on through.user_id = s.user_id and through.id = s.through_message_id
        where s.user_id = write_summary.user_id
          and s.conversation_id = write_summary.conversation_id
          and through.seq >= write_summary.covers_to
          and through.seq <@ v_path
    ) then
        return jsonb_build_object('outcome', 'known');
    elsif v_here.active_branch <> v_here.last_branch
        or exists (
            select 1
            from public.turns as t
            where t.user_id = write_summary.user_id
              and t.conversation_id = write_summary.conversation_id
              and t.status = 'running'
        )
    then
        -- Nothing comes between a request and its reply, nor begins a branch but what was said.
        return jsonb_build_object('outcome', 'busy');
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, metadata, is_summary)
    values
        (write_summary.message_id, write_summary.conversation_id, write_summary.user_id, 'system',
         write_summary.content,
         write_summary.metadata || jsonb_build_object(
             'covers', jsonb_build_object('fromSeq', 1, 'toSeq', write_summary.covers_to)
         ),
         true)
    returning to_jsonb(m) into v_message;

    insert into public.summaries (id, conversation_id, user_id, through_message_id)
    values (write_summary.message_id, write_summary.conversation_id, write_summary.user_id, v_through_id);

    return jsonb_build_object('outcome', 'written', 'message', v_message);
end;
$$;

revoke all on function public.write_summary from public, anon, authenticated, service_role;
grant execute on function public.write_summary to service_role;
comment on function public.write_summary is 'Adds a summary of everything up to a seq as a system message, to the path that was written to last. Answers outcome written, known where as much is covered already, busy while a turn runs or another path is active, or elsewhere for a seq that is not on that path. Raises PT404.';

-- Context that fits: the AI is given the whole history while it fits a budget of tokens; beyond it,
-- the newest summary and everything since, all of it along one path. Tokens are estimated as a third of
-- the bytes in UTF-8, rounded up, and four more for each message, as shared/ai/tokens.py does: a length
-- in bytes is known without reading the text itself.

-- By columns: Postgres writes an array at once, of objects it would look up for each how to write them.
create function private.read_history(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer,
    path int8multirange,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
set enable_sort = off -- an index has them in their order: sorted, all would be read
set jit = off -- compiling takes longer than reading a history
as $$
#variable_conflict use_column
declare
    c_message_tokens constant integer := 4;
    c_beside constant bigint := 4000000; -- bytes of parts; older messages are given as their text
    v_budget constant integer := greatest(history_tokens, 0);
    -- Where not everything fits, one long message does not push out all the others.
    v_longest constant integer := greatest(v_budget / 4, c_message_tokens + 1);
    v_newest record;
    v_summary json;
    v_covered bigint := 0;
    v_room bigint := v_budget;
    v_known bigint;
    v_row record;
    v_whole bigint := 0;
    v_short bigint := 0;
    v_since bigint;
    v_bytes bigint := 0;
    v_first bigint := coalesce(upper(path), 1);
    v_is_whole boolean := true;
    v_is_given boolean;
    v_is_complete boolean := true;
    v_from integer;
    v_seqs bigint[] := '{}';
    v_roles text[] := '{}';
    v_contents text[] := '{}';
    v_beside_seqs bigint[] := '{}';
    v_beside json[] := '{}';
begin
    if exists (
        select 1
        from public.summaries as s
        where s.user_id = read_history.user_id
          and s.conversation_id = read_history.conversation_id
    ) then
        v_newest := private.newest_summary(user_id, conversation_id, path);
        path := v_newest.path;
        if v_newest.seq is not null and v_longest <= v_budget then
            v_covered := v_newest.through_seq;
            v_summary := json_build_object(
                'seq', v_newest.seq, 'content', left(v_newest.content, v_longest * 3)
            );
            v_room := v_budget
                - least((octet_length(v_newest.content) + 2) / 3 + c_message_tokens, v_longest);
        end if;
    end if;

    -- What the asker has need not be sent again: from a place to a message, found by its id. What is
    -- before a message never changes, and no other path or conversation, whatever its id, has it.
    if known_from is not null then
        select m.seq into v_known
        from public.messages as m
        where m.user_id = read_history.user_id
          and m.conversation_id = read_history.conversation_id
          and m.id = read_history.known_id
          and m.seq <@ read_history.path;
    end if;
    v_known := coalesce(v_known, 0);

    -- From the newest back, no further than the budget reaches. In a loop: a sum over a window, which is
    -- sorted and stored, takes a third more of each message.
    for v_row in
        select m.seq, m.role, m.tokens, m.parts, m.native,
               case when m.seq > v_known then m.content end as content,
               case
                   when m.seq > v_known and m.role = 'assistant'
                       and m.metadata -> 'success' = 'false'
                       then coalesce(m.metadata -> 'error' ->> 'type', 'failed')
               end as failure
        from (select part from unnest(path) as part order by part desc) as newest_first (part)
        cross join lateral (
            select messages.*,
                   (octet_length(messages.content) + 2
                       + case jsonb_array_length(messages.parts)
                           when 0 then 0
                           else private.bytes_beside_text(messages.role, messages.parts)::integer
                         end) / 3 + c_message_tokens as tokens
            from public.messages
            where messages.user_id = read_history.user_id
              and messages.conversation_id = read_history.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            order by messages.seq desc
            offset 0
        ) as m
    loop
        exit when v_short > v_budget;
        if v_row.seq > v_known then
            v_seqs := v_row.seq || v_seqs;
            v_roles := v_row.role || v_roles;
            -- With as many characters as could be within its bytes; who gives it to the AI cuts it.
            v_contents := case
                when v_whole + v_row.tokens <= v_budget then v_row.content
                else left(v_row.content, v_longest * 3)
            end || v_contents;
        elsif v_row.seq = v_known
            and known_from = v_covered + 1
            and v_whole + known_tokens <= v_room
        then
            -- It was counted before, by who has it. With a summary there is more than fits.
            v_since := v_whole + known_tokens;
            v_whole := case v_covered when 0 then v_since else v_budget + 1 end;
            exit;
        end if;

        v_whole := v_whole + v_row.tokens;
        v_short := v_short + least(v_row.tokens, v_longest);
        if v_row.seq <= v_covered then
            v_since := coalesce(v_since, v_whole - v_row.tokens);
        elsif v_short <= v_room then
            v_first := v_row.seq;
        end if;

        if v_row.failure is not null or v_row.native is not null or v_row.parts <> '[]' then
            v_bytes := v_bytes + octet_length(v_row.parts::text)
                + coalesce(octet_length(v_row.native::text), 0);
            v_is_complete := v_is_complete and v_bytes <= c_beside;
            v_is_given := v_bytes <= c_beside
                and (v_whole <= v_budget or v_row.tokens <= v_longest);
            if v_row.seq > v_known then
                v_beside_seqs := v_row.seq || v_beside_seqs;
                v_beside := json_build_object(
                    'seq', v_row.seq,
                    'failure', v_row.failure,
                    'parts', case when v_is_given then v_row.parts else '[]' end,
                    'native', case when v_is_given then v_row.native end
                ) || v_beside;
            end if;
        end if;
    end loop;
    v_since := coalesce(v_since, v_whole);

    if v_whole <= v_budget then
        v_covered := 0;
        v_first := 1;
    elsif v_covered > 0 and v_since <= v_room then
        v_first := v_covered + 1;
    else
        v_is_whole := false;
    end if;

    -- But only if nothing is cut or left out of any message, which would not be so each time.
    v_is_complete := v_is_complete and (v_is_whole or v_short = v_whole);
    if v_known > 0 and not (v_is_complete and known_from <= v_first) then
        return private.read_history(user_id, conversation_id, history_tokens, path);
    end if;

    v_from := width_bucket(v_first - 1, v_seqs) + 1;
    return json_build_object(
        'seq', v_seqs[v_from:],
        'role', v_roles[v_from:],
        'content', v_contents[v_from:],
        'beside', v_beside[width_bucket(v_first - 1, v_beside_seqs) + 1:],
        'summary', case when v_covered > 0 then v_summary end,
        'covers_to', v_covered,
        'first', v_first,
        'known', v_known,
        'is_complete', v_is_complete,
        'omitted', private.length_of(
            path * int8multirange(int8range(v_covered + 1, greatest(v_first, v_covered + 1)))
        ),
        'longest', v_longest,
        'is_whole', v_is_whole,
        'since_tokens', v_since
    );
end;
$$;

grant execute on function private.read_history to authenticated, service_role;
comment on function private.read_history is 'What load_history answers, of a path in a conversation that is the user''s. Of messages that the asker has, those from known_from to that of known_id, none is in the history: known is the seq up to which, 0 where all are in it. known_tokens is how much they are, where nothing was cut or left out of the history that they were.';

create function public.load_history(
    user_id uuid,
    conversation_id uuid,
    history_tokens integer default 100000,
    before bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
begin
    perform private.require_self(user_id);

    v_conversation := private.find_conversation(user_id, conversation_id);

    return json_build_object('history', private.read_history(
        user_id, conversation_id, history_tokens,
        private.path_to(
            user_id, v_conversation,
            branch => case when before is null then v_conversation.active_branch end,
            before => before
        )
    ));
end;
$$;

revoke all on function public.load_history from public, anon, authenticated, service_role;
grant execute on function public.load_history to authenticated, service_role;
comment on function public.load_history is 'What the AI is given of a conversation before a seq, along the path to that, or of the active path: all of it within the budget, else the newest summary and everything since, else as much of that as fits. Answers {history: {seq, role, content, beside, summary, covers_to, first, known, is_complete, omitted, longest, is_whole, since_tokens}}: the messages by columns, [{seq, failure, parts, native}] of those that have any of these, the summary as {seq, content}, what it covers, the seq from which on messages are given, whether all of these are as they are stored, how many messages are left out, to how many tokens the summary and, unless all are whole, each message is to be cut, how much came since the newest summary. Raises PT403, PT404.';

-- From rows that are in hand: whoever has just written them need not read them again.
create function private.describe_rows(
    user_id uuid,
    outcome text,
    turn public.turns,
    conversation private.conversations,
    user_message jsonb,
    reply jsonb default null,
    history_tokens integer default null,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_history json;
begin
    if history_tokens is not null then
        v_history := private.read_history(
            user_id, conversation.id, history_tokens,
            private.path_to(user_id, conversation, before => (user_message ->> 'seq')::bigint),
            known_from, known_id, known_tokens
        );
    end if;
    return json_build_object(
        'outcome', outcome,
        'turn', to_jsonb(turn) - '{request_hash,draft,draft_parts}'::text[],
        'conversation', conversation,
        'user_message', user_message,
        'reply', reply,
        'history', v_history
    );
end;
$$;

grant execute on function private.describe_rows to authenticated, service_role;
comment on function private.describe_rows is 'A turn, its conversation and its messages, and with history_tokens the history before its message, as they are given.';

create function private.message_of_turn(user_id uuid, turn public.turns)
returns public.messages
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message public.messages;
begin
    select m.* into v_message
    from public.messages as m
    where m.user_id = message_of_turn.user_id
      and m.id = coalesce(message_of_turn.turn.answers, (
          select own.id
          from public.messages as own
          where own.user_id = message_of_turn.user_id and own.turn_id = message_of_turn.turn.id
            and own.role = 'user'
      ));
    return v_message;
end;
$$;

grant execute on function private.message_of_turn to authenticated, service_role;
comment on function private.message_of_turn is 'The message that a turn answers: its own, or the one that it answers once more.';

-- Whatever is described is read once, by whoever holds the lock or under row-level security.
create function private.describe_turn(
    user_id uuid,
    turn_id uuid,
    outcome text default null,
    history_tokens integer default null
)
returns json
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_conversation private.conversations;
    v_request public.messages;
    v_reply jsonb;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = describe_turn.user_id and t.id = describe_turn.turn_id;

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = describe_turn.user_id and c.id = v_turn.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_request := private.message_of_turn(user_id, v_turn);

    outcome := coalesce(
        outcome, case v_turn.status when 'running' then 'in_progress' else 'replayed' end
    );
    if v_turn.status <> 'running' then
        select to_jsonb(m) into v_reply
        from public.messages as m
        where m.user_id = describe_turn.user_id and m.turn_id = describe_turn.turn_id
          and m.role = 'assistant';
    end if;

    return private.describe_rows(
        user_id, outcome, v_turn, v_conversation, to_jsonb(v_request), v_reply, history_tokens
    );
end;
$$;

grant execute on function private.describe_turn to authenticated, service_role;
comment on function private.describe_turn is 'A turn with its conversation and its messages, and an outcome: without one, whether it runs or was settled; with history_tokens also what load_history gives of what came before it. Raises PT404.';

-- The second of the two atomic steps around the AI's work: the reply is committed and the turn is
-- settled, in one round trip.

-- A turn's message: for whoever holds the conversation's lock, all that triggers do for other writers.
-- They would look up, once a row, what is known here. Runs as its owner, as they do.
create function private.add_message(
    user_id uuid,
    inout conversation private.conversations,
    turn_id uuid,
    message_id uuid,
    role text,
    content text,
    generated_code text,
    metadata jsonb,
    parts jsonb,
    native jsonb,
    status text,
    failure text,
    out described jsonb
)
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_branch integer := conversation.active_branch;
begin
    conversation.last_seq := conversation.last_seq + 1;
    conversation.updated_at := greatest(
        clock_timestamp(), conversation.updated_at + interval '1 microsecond'
    );

    update public.conversations as c
    set last_seq = conversation.last_seq,
        updated_at = conversation.updated_at
    where c.user_id = add_message.user_id and c.id = conversation.id;

    -- What was written last may be on another branch than the one that is active.
    if v_branch <> conversation.last_branch then
        v_branch := private.begin_branch(
            user_id, conversation.id, v_branch, null, conversation.last_seq
        );
        conversation.active_branch := v_branch;
        conversation.last_branch := v_branch;
    end if;

    insert into public.messages as m
        (id, conversation_id, user_id, role, content, generated_code, metadata, parts, native,
         turn_id, seq, created_at, branch)
    values
        (add_message.message_id, conversation.id, add_message.user_id, add_message.role,
         add_message.content, add_message.generated_code, add_message.metadata,
         add_message.parts, add_message.native, add_message.turn_id, conversation.last_seq,
         conversation.updated_at, v_branch)
    returning to_jsonb(m) into described;

    insert into search.watermarks (user_id, conversation_id, indexed_seq)
    values (add_message.user_id, conversation.id, conversation.last_seq - 1)
    on conflict on constraint watermarks_pkey do nothing;

    if role = 'user' then
        perform private.count_bytes(
            user_id,
            octet_length(content) + octet_length(metadata::text)
                + case parts when '[]' then 0 else octet_length(parts::text) end
                + coalesce(octet_length(native::text), 0)
        );
    end if;

    perform private.broadcast(conversation.id, turn_id, status, failure, described);
end;
$$;

grant execute on function private.add_message to service_role;
comment on function private.add_message is 'Adds a turn''s message to its conversation, which the caller holds, and sends both the message and the turn''s status. Answers the conversation as it is then, and the message''s row.';

create function public.complete_turn(
    user_id uuid,
    turn_id uuid,
    attempt integer,
    message_id uuid,
    status text,
    content text,
    generated_code text default null,
    metadata jsonb default '{}',
    error jsonb default null,
    tokens bigint default null,
    parts jsonb default '[]',
    native jsonb default null
)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := clock_timestamp();
    v_conversation private.conversations;
    v_turn public.turns;
    v_reply jsonb;
begin
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = complete_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id
      )
    for update;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    update public.turns as t
    set status = complete_turn.status,
        error = complete_turn.error,
        draft = '',
        draft_parts = '[]',
        tokens = coalesce(complete_turn.tokens, t.tokens),
        finished_at = greatest(v_now, t.started_at) -- by a clock that may have been set back
    where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id
      and t.attempt = complete_turn.attempt
      and t.status = 'running'
    returning t.* into v_turn;

    if found then
        v_reply := (private.add_message(
            user_id, v_conversation, turn_id, message_id, 'assistant', content, generated_code,
            metadata, parts, native,
            case when status in ('completed', 'cancelled') then 'idle' else 'error' end,
            error ->> 'message'
        )).described;
    else
        -- The same write came before, and its answer was lost on the way; or another's did.
        select t.* into v_turn
        from public.turns as t
        where t.user_id = complete_turn.user_id and t.id = complete_turn.turn_id;

        select to_jsonb(m) into v_reply
        from public.messages as m
        where m.user_id = complete_turn.user_id and m.turn_id = complete_turn.turn_id
          and m.role = 'assistant';
    end if;

    return json_build_object(
        'outcome', case v_reply ->> 'id'
            when message_id::text then 'completed'
            else 'superseded'
        end,
        'turn', to_jsonb(v_turn) - '{request_hash,draft,draft_parts}'::text[],
        'reply', v_reply
    );
end;
$$;

revoke all on function public.complete_turn from public, anon, authenticated, service_role;
grant execute on function public.complete_turn to service_role;
comment on function public.complete_turn is 'Commits the reply and closes the turn, for the attempt that holds it. Answers {outcome: completed | superseded, turn, reply}, and of the same call again the same. Raises PT404.';

create function private.interrupt_turn(user_id uuid, turn_id uuid)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_status text := 'interrupted';
    v_error jsonb := jsonb_build_object(
        'type', 'interrupted',
        'message', 'The reply was interrupted before it was complete.'
    );
begin
    select t.* into strict v_turn
    from public.turns as t
    where t.user_id = interrupt_turn.user_id and t.id = interrupt_turn.turn_id;

    if v_turn.cancel_requested_at is not null then
        v_status := 'cancelled';
        v_error := jsonb_build_object('type', 'cancelled', 'message', 'The reply was stopped.');
    end if;

    perform public.complete_turn(
        user_id => interrupt_turn.user_id,
        turn_id => interrupt_turn.turn_id,
        attempt => v_turn.attempt,
        status => v_status,
        message_id => private.new_id(),
        content => coalesce(nullif(v_turn.draft, ''), v_error ->> 'message'),
        metadata => jsonb_build_object(
            'success', false,
            'filesGenerated', 0,
            'files', '[]'::jsonb,
            'duration', round(
                greatest(0, extract(epoch from clock_timestamp() - v_turn.started_at)), 3
            ),
            'intent', null,
            'complexity', null,
            'strategy', null,
            'timestamp', clock_timestamp(),
            'error', v_error
        ),
        error => v_error,
        parts => private.parts_of_draft(v_turn.draft, v_turn.draft_parts)
    );
end;
$$;

grant execute on function private.interrupt_turn to service_role;
comment on function private.interrupt_turn is 'Settles a turn whose worker is gone, as interrupted or, where that was asked for, as cancelled: what it had written becomes the stored reply.';

-- Conversations whose items a framework adds itself, as they are. What it takes back stays, with a row
-- of the system behind it that says so: `metadata.takesBack` has that message's id, or `all`.

-- The ids are made by whoever calls: a row that is there already is left alone, so that the same call
-- does nothing twice.
create function public.append_messages(user_id uuid, conversation_id uuid, messages jsonb)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_added integer;
begin
    insert into public.conversations (id, user_id, title)
    values (
        append_messages.conversation_id,
        append_messages.user_id,
        private.title_from_request(coalesce(jsonb_path_query_first(
            messages, '$[*] ? (@.role == "user").content'
        ) #>> '{}', ''))
    )
    on conflict do nothing;

    perform 1
    from private.conversations as c
    where c.user_id = append_messages.user_id and c.id = append_messages.conversation_id
    for update;

    if not found then -- somebody else's, or on its way to be deleted
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    insert into public.messages
        (id, conversation_id, user_id, role, content, metadata, parts, native)
    select (i.message ->> 'id')::uuid,
           append_messages.conversation_id,
           append_messages.user_id,
           i.message ->> 'role',
           i.message ->> 'content',
           coalesce(i.message -> 'metadata', '{}'),
           coalesce(i.message -> 'parts', '[]'),
           nullif(i.message -> 'native', 'null')
    from jsonb_array_elements(messages) with ordinality as i (message, nth)
    order by i.nth
    on conflict do nothing;
    get diagnostics v_added = row_count;

    return jsonb_build_object('added', v_added);
end;
$$;

revoke all on function public.append_messages from public, anon, authenticated, service_role;
grant execute on function public.append_messages to service_role;
comment on function public.append_messages is 'Adds messages at the end of a conversation, which is made if there is none, all of them or none, each once by its id. Answers {added}. Raises PT404.';

-- What was taken back before is passed over, from the end: each of those rows takes back the newest
-- message that was still there.
create function public.take_back_message(
    user_id uuid,
    conversation_id uuid,
    message_id uuid
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_taken public.messages;
    v_row public.messages;
    v_passed integer := 0;
begin
    perform 1
    from private.conversations as c
    where c.user_id = take_back_message.user_id and c.id = take_back_message.conversation_id
    for update;

    select m.* into v_taken
    from public.messages as t
    join public.messages as m
        on m.user_id = t.user_id and m.id::text = t.metadata ->> 'takesBack'
    where t.user_id = take_back_message.user_id and t.id = take_back_message.message_id;

    if found then
        return jsonb_build_object('message', to_jsonb(v_taken)); -- the same call again
    end if;

    for v_row in
        select m.*
        from public.messages as m
        where m.user_id = take_back_message.user_id
          and m.conversation_id = take_back_message.conversation_id
          and not m.is_summary
        order by m.seq desc
    loop
        exit when v_row.role = 'system' and v_row.metadata ->> 'takesBack' = 'all';
        v_passed := v_passed
            + case when v_row.role = 'system' and v_row.metadata ? 'takesBack' then 1 else -1 end;
        continue when v_passed >= 0;

        v_taken := v_row;
        insert into public.messages (id, conversation_id, user_id, role, content, metadata)
        values (
            take_back_message.message_id,
            take_back_message.conversation_id,
            take_back_message.user_id,
            'system',
            'The message before this was taken back.',
            jsonb_build_object('takesBack', v_taken.id)
        );
        exit;
    end loop;

    return jsonb_build_object(
        'message', case when v_taken.id is not null then to_jsonb(v_taken) end
    );
end;
$$;

revoke all on function public.take_back_message from public, anon, authenticated, service_role;
grant execute on function public.take_back_message to service_role;
comment on function public.take_back_message is 'Adds a row that takes the newest message back which is still there, and answers it: {message}, null if there is none. `message_id` is that row''s id, by which the same call does nothing twice.';

-- The first of the two atomic steps around the AI's work: the user's message is committed and its
-- turn opened, or what the key led to before is found, in one round trip.

create function private.title_from_request(request text)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(
        nullif(btrim(left(regexp_replace(btrim(left(request, 400)), '\s+', ' ', 'g'), 80)), ''),
        'New Chat'
    );
$$;

grant execute on function private.title_from_request to service_role;
comment on function private.title_from_request is 'The title of a conversation that starts with this request: its first 80 characters on one line.';

create function public.begin_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    request text,
    message_id uuid,
    conversation_id uuid default null,
    project_id uuid default null,
    metadata jsonb default '{}',
    parts jsonb default '[]',
    native jsonb default null,
    lease_seconds integer default 120,
    history_tokens integer default 100000,
    turns_per_minute integer default null,
    turns_per_day integer default null,
    tokens_per_day bigint default null,
    edits uuid default null,
    regenerates uuid default null,
    opens_conversation boolean default false,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
    v_turn public.turns;
    v_answers uuid;
    v_stored record;
begin
    if opens_conversation then
        -- Nothing where the id is taken already: by this user's, which is then found, or not.
        insert into public.conversations (id, user_id, project_id, title)
        values (begin_turn.conversation_id, begin_turn.user_id, begin_turn.project_id,
                private.title_from_request(request))
        on conflict do nothing;
    end if;

    loop
        if conversation_id is null then
            v_conversation.id := private.new_id();
        else
            select c.* into v_conversation
            from private.conversations as c
            where c.user_id = begin_turn.user_id and c.id = begin_turn.conversation_id
            for update;
        end if;

        -- Of callers with one key at once, the index lets one open the turn, and with it the
        -- conversation that is new; another index lets a conversation have one running turn.
        with opened as (
            insert into public.turns
                (id, user_id, conversation_id, idempotency_key, request_hash, lease_expires_at)
            select case when regenerates is null then private.new_id() else message_id end,
                   begin_turn.user_id, v_conversation.id, begin_turn.idempotency_key,
                   coalesce(begin_turn.request_hash, ''),
                   clock_timestamp() + make_interval(secs => lease_seconds)
            where v_conversation.id is not null
            on conflict do nothing
            returning *
        ),
        started as (
            insert into public.conversations (id, user_id, project_id, title)
            select o.conversation_id, o.user_id, begin_turn.project_id,
                   private.title_from_request(request)
            from opened as o
            where begin_turn.conversation_id is null
        )
        select o.* into v_turn from opened as o;

        exit when found;

        -- Under the lock: whoever came before with this key has committed its turn.
        if exists (
            select 1
            from public.turns as t
            where t.user_id = begin_turn.user_id
              and t.idempotency_key = begin_turn.idempotency_key
        ) then
            return private.resume_turn(
                user_id, idempotency_key, request_hash, message_id, lease_seconds, history_tokens
            );
        elsif v_conversation.id is null then
            raise exception 'Conversation not found.'
                using errcode = 'PT404', detail = 'conversation_not_found';
        end if;

        select t.* into v_turn
        from public.turns as t
        where t.user_id = begin_turn.user_id and t.conversation_id = begin_turn.conversation_id
          and t.status = 'running';

        if found and v_turn.lease_expires_at > clock_timestamp() then
            return private.describe_turn(user_id, v_turn.id, 'in_progress');
        elsif found then
            perform private.interrupt_turn(user_id, v_turn.id);
        elsif regenerates is not null then
            raise exception 'This idempotency key was used for another request.'
                using errcode = 'PT422', detail = 'idempotency_key_reused'; -- by the turn's id
        end if;
    end loop;

    if exists (
        select 1
        from private.turn_usage as u
        where u.user_id = begin_turn.user_id
          and u.key_hash = sha256(convert_to(begin_turn.idempotency_key, 'utf8'))
    ) then
        -- It led to a turn whose conversation was deleted.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    if num_nonnulls(turns_per_minute, turns_per_day, tokens_per_day) > 0 then
        perform private.require_turns_left(
            user_id, turns_per_minute, turns_per_day, tokens_per_day
        );
    end if;

    if conversation_id is null then
        select c.* into v_conversation
        from private.conversations as c
        where c.user_id = begin_turn.user_id and c.id = v_turn.conversation_id;
    end if;

    if num_nonnulls(edits, regenerates) > 0 then
        v_conversation := private.fork_conversation(user_id, v_conversation, edits, regenerates);
    end if;
    if regenerates is not null then
        v_answers := (private.find_answered(user_id, v_conversation, regenerates)).id;

        update public.turns as t
        set answers = v_answers
        where t.user_id = begin_turn.user_id and t.id = v_turn.id;

        perform private.broadcast(v_conversation.id, v_turn.id, 'accepted');
        return private.describe_turn(user_id, v_turn.id, 'started', history_tokens);
    end if;

    v_stored := private.add_message(
        user_id, v_conversation, v_turn.id, message_id, 'user', request, null, metadata, parts, native,
        'accepted', null
    );
    return private.describe_rows(
        user_id, 'started', v_turn, v_stored.conversation, v_stored.described, null,
        history_tokens, known_from, known_id, known_tokens
    );
end;
$$;

revoke all on function public.begin_turn from public, anon, authenticated, service_role;
grant execute on function public.begin_turn to service_role;
comment on function public.begin_turn is 'Commits a user''s message and opens its turn; one that edits a message stands beside it, and a turn that regenerates a reply answers its message once more and has none of its own: message_id is the turn''s id then. Answers {outcome: started | taken_over | replayed | in_progress, turn, conversation, user_message, reply, history}, the last as load_history, and null but where the AI is to work. That of a turn that stores its own message lacks the messages from known_from to that of known_id, if it would begin with them (history.known); known_tokens is their sum, if known. Without a request_hash the key is that of a turn that is known. With opens_conversation the conversation of that id is begun where there is none. Raises PT404, also for a key whose conversation was deleted and for a message that is not there, PT422, PT429.';

-- A turn that its owner has stopped is stopped for good, also where its worker never knew.
create function private.resume_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    message_id uuid,
    lease_seconds integer,
    history_tokens integer
)
returns json
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform 1
    from private.conversations as c
    where c.user_id = resume_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = resume_turn.user_id
            and t.idempotency_key = resume_turn.idempotency_key
      )
    for update;

    select t.* into v_turn
    from public.turns as t
    where t.user_id = resume_turn.user_id
      and t.idempotency_key = resume_turn.idempotency_key
    for update;

    if not found then
        -- Its conversation was deleted in the meantime.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    elsif v_turn.request_hash <> resume_turn.request_hash then
        raise exception 'This idempotency key was used for another request.'
            using errcode = 'PT422', detail = 'idempotency_key_reused';
    end if;

    if v_turn.status = 'running'
        and v_turn.attempt = 1
        and (
            v_turn.id = resume_turn.message_id
            or exists (
                select 1
                from public.messages as m
                where m.user_id = resume_turn.user_id and m.turn_id = v_turn.id
                  and m.role = 'user'
                  and m.id = resume_turn.message_id
            )
        )
    then
        -- The same call again: its answer was lost on the way, so nobody works on it yet.
        return private.describe_turn(user_id, v_turn.id, 'started', history_tokens);
    end if;

    if v_turn.status = 'running' and v_turn.lease_expires_at <= clock_timestamp() then
        if v_turn.cancel_requested_at is null then
            update public.turns as t
            set attempt = t.attempt + 1,
                draft = '',
                draft_parts = '[]',
                lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
            where t.user_id = resume_turn.user_id and t.id = v_turn.id;

            perform private.broadcast(v_turn.conversation_id, v_turn.id, 'accepted');
            return private.describe_turn(user_id, v_turn.id, 'taken_over', history_tokens);
        end if;
        perform private.interrupt_turn(user_id, v_turn.id);
    end if;

    update public.turns as t
    set replays = t.replays + 1
    where t.user_id = resume_turn.user_id and t.id = v_turn.id;

    return private.describe_turn(user_id, v_turn.id);
end;
$$;

grant execute on function private.resume_turn to service_role;
comment on function private.resume_turn is 'What a known key leads to: the stored reply, word that it still runs, or the turn taken over where its lease is over. Counts the first two as replays. Raises PT404, PT422.';

-- How a turn shows that it runs, and how far it is.

-- The heartbeat of one turn. Null where somebody holds it, who settles or stops it: it waits for the next
-- one, so that no other turn waits for it. A heartbeat that is late never shortens a draft, nor leaves a
-- hole in it. A writer outside, who sends a step again if its answer was lost, says with it at which
-- version of the parts it stands: at another one the draft stays as it is. So does one that has no more
-- room in its row: refused, it would cost all the others their leases.
create function private.extend_turn(user_id uuid, extension jsonb, lease_seconds integer)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_asked record;
    v_turn public.turns;
    v_end integer;
    v_is_next boolean := true;
    v_draft text;
    v_draft_parts jsonb;
begin
    select * into v_asked
    from jsonb_to_record(extension)
        as a (turn_id uuid, attempt integer, draft_offset integer, draft_tail text,
              draft_parts jsonb, parts_version integer, tokens bigint);

    select t.* into v_turn
    from public.turns as t
    where t.user_id = extend_turn.user_id and t.id = v_asked.turn_id
      and t.attempt = v_asked.attempt
      and t.status = 'running'
    for update skip locked;

    if v_turn.id is null then
        return case
            when not exists (
                select 1
                from public.turns as t
                where t.user_id = extend_turn.user_id and t.id = v_asked.turn_id
                  and t.attempt = v_asked.attempt
                  and t.status = 'running'
            ) then jsonb_build_object(
                'turn_id', v_asked.turn_id,
                'is_ours', false,
                'cancel_requested', false
            )
        end;
    end if;

    v_draft := v_turn.draft;
    v_draft_parts := v_turn.draft_parts;
    v_end := v_asked.draft_offset + char_length(v_asked.draft_tail);
    if v_asked.parts_version is not null then
        v_is_next := v_asked.parts_version = private.draft_version(v_draft_parts)
            and char_length(v_draft) between v_asked.draft_offset and v_end;
    end if;

    if v_is_next then
        if char_length(v_draft) between v_asked.draft_offset and v_end - 1 then
            v_draft := left(v_draft, v_asked.draft_offset) || v_asked.draft_tail;
        end if;
        if v_asked.draft_parts is not null then
            v_draft_parts := private.merge_draft_parts(v_draft_parts, v_asked.draft_parts);
        end if;
    end if;
    if (v_draft_parts <> '[]' or octet_length(v_draft) > 333333)
        and octet_length(to_json(v_draft)::text) + octet_length(v_draft_parts::text) > 2000004
    then
        v_draft := v_turn.draft;
        v_draft_parts := v_turn.draft_parts;
    end if;

    v_asked.tokens := coalesce(v_asked.tokens, v_turn.tokens);
    update public.turns as t
    set lease_expires_at = clock_timestamp() + make_interval(secs => extend_turn.lease_seconds),
        tokens = v_asked.tokens,
        draft = v_draft,
        draft_parts = v_draft_parts
    where t.user_id = extend_turn.user_id and t.id = v_turn.id;

    return jsonb_build_object(
        'turn_id', v_turn.id,
        'is_ours', true,
        'cancel_requested', v_turn.cancel_requested_at is not null,
        'conversation_id', v_turn.conversation_id,
        'draft_length', char_length(v_draft),
        'parts_version', case
            when v_asked.parts_version is not null then private.draft_version(v_draft_parts)
        end
    );
end;
$$;

grant execute on function private.extend_turn to service_role;
comment on function private.extend_turn is 'Renews the lease of a turn and writes what is new of its draft, as extend_turns says of each; null if somebody holds it.';

-- One call for all the turns that a process runs, so that hundreds of open streams cost the store one
-- call a second. The one function that touches several users in one transaction, therefore; each of its
-- statements touches one. That it also counts the running turns of all users lets processes that know
-- nothing of each other share what the project carries; the index of running turns has no other rows.
create function public.extend_turns(extensions jsonb, lease_seconds integer)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
declare
    v_extension jsonb;
    v_turns jsonb[] := '{}';
begin
    for v_extension in select * from jsonb_array_elements(extensions)
    loop
        v_turns := v_turns || private.extend_turn(
            (v_extension ->> 'user_id')::uuid, v_extension, lease_seconds
        );
    end loop;

    return jsonb_build_object(
        'turns', array_to_json(array_remove(v_turns, null)),
        'running', (
            select count(*)
            from public.turns as t
            where t.status = 'running' and t.lease_expires_at > clock_timestamp()
        )
    );
end;
$$;

revoke all on function public.extend_turns from public, anon, authenticated, service_role;
grant execute on function public.extend_turns to service_role;
comment on function public.extend_turns is 'The heartbeat of a process: for each of [{user_id, turn_id, attempt, draft_offset, draft_tail, draft_parts, parts_version, tokens}] renews the lease and writes the draft from an offset on (in characters), those of its parts that have changed, and the tokens so far; with a parts_version only if the draft is at it. Answers {turns: [{turn_id, is_ours, cancel_requested, conversation_id, draft_length, parts_version}], running}; a turn that is locked is left out, and running is how many turns of all users have a worker.';

-- A turn while it runs: it can be read and stopped, and it ends even if its worker does not.

create function public.load_turn(user_id uuid, turn_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform private.require_self(user_id);

    select t.* into v_turn
    from public.turns as t
    where t.user_id = load_turn.user_id and t.id = load_turn.turn_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    return private.describe_turn(user_id, turn_id)::jsonb || jsonb_build_object(
        'draft', v_turn.draft,
        'draft_parts', v_turn.draft_parts,
        'seconds', greatest(0, extract(epoch from now() - v_turn.started_at)),
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now()
    );
end;
$$;

revoke all on function public.load_turn from public, anon, authenticated, service_role;
grant execute on function public.load_turn to authenticated, service_role;
comment on function public.load_turn is 'A turn with its messages, its draft and the seconds since it began, as its owner sees it. Raises PT403, PT404.';

create function public.find_turn(user_id uuid, idempotency_keys text[])
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn_id uuid;
begin
    perform private.require_self(user_id);

    select found.id into v_turn_id
    from unnest(find_turn.idempotency_keys) with ordinality as wanted (key, place)
    -- With its limit it is looked up, whatever the planner takes the table for.
    cross join lateral (
        select t.id
        from public.turns as t
        where t.user_id = find_turn.user_id and t.idempotency_key = wanted.key
        limit 1
    ) as found
    order by wanted.place
    limit 1;

    return public.load_turn(user_id, v_turn_id);
end;
$$;

revoke all on function public.find_turn from public, anon, authenticated, service_role;
grant execute on function public.find_turn to authenticated, service_role;
comment on function public.find_turn is 'The turn of the first of these keys that has one, as load_turn gives it. Raises PT403, PT404.';

-- What is asked four times a second while somebody follows a turn: nothing that can't have changed.
create function public.follow_turn(
    user_id uuid,
    turn_id uuid,
    attempt integer,
    draft_offset integer,
    parts_version integer default 0
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = follow_turn.user_id and t.id = follow_turn.turn_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    if v_turn.attempt <> follow_turn.attempt then
        draft_offset := 0;
        parts_version := 0;
    end if;
    return jsonb_build_object(
        'status', v_turn.status,
        'attempt', v_turn.attempt,
        'lease_expires_at', v_turn.lease_expires_at,
        'is_expired', v_turn.status = 'running' and v_turn.lease_expires_at <= now(),
        'draft_tail', substr(v_turn.draft, greatest(draft_offset, 0) + 1),
        'draft_parts', case v_turn.draft_parts
            when '[]' then '[]'
            else jsonb_path_query_array(
                v_turn.draft_parts,
                '$[*] ? (@.version > $seen)',
                jsonb_build_object('seen', parts_version)
            )
        end
    );
end;
$$;

revoke all on function public.follow_turn from public, anon, authenticated, service_role;
grant execute on function public.follow_turn to service_role;
comment on function public.follow_turn is 'How a turn stands, and its draft from an offset on (in characters) with the parts that have changed since a version, or all of it where another attempt than this one writes: {status, attempt, lease_expires_at, is_expired, draft_tail, draft_parts}. Raises PT404.';

create function public.cancel_turn(user_id uuid, turn_id uuid)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := clock_timestamp();
    v_conversation_id uuid;
begin
    perform 1
    from private.conversations as c
    where c.user_id = cancel_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = cancel_turn.user_id and t.id = cancel_turn.turn_id
      )
    for update;

    update public.turns as t
    set cancel_requested_at = coalesce(
        t.cancel_requested_at, case t.status when 'running' then v_now end
    )
    where t.user_id = cancel_turn.user_id and t.id = cancel_turn.turn_id
    returning t.conversation_id into v_conversation_id;

    if not found then
        raise exception 'Turn not found.' using errcode = 'PT404', detail = 'turn_not_found';
    end if;

    perform public.settle_expired_turn(user_id, v_conversation_id);
    return private.describe_turn(user_id, turn_id);
end;
$$;

revoke all on function public.cancel_turn from public, anon, authenticated, service_role;
grant execute on function public.cancel_turn to service_role;
comment on function public.cancel_turn is 'Asks a running turn to stop, for good; one without a worker is settled at once. A settled turn stays as it is. Raises PT404.';

create function public.settle_expired_turn(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_turn_id uuid;
begin
    -- Whoever holds the conversation is writing to it: then there is nothing to clean up yet.
    select t.id into v_turn_id
    from private.conversations as c
    join public.turns as t
        on t.user_id = c.user_id and t.conversation_id = c.id
    where c.user_id = settle_expired_turn.user_id and c.id = settle_expired_turn.conversation_id
      and t.status = 'running'
      and t.lease_expires_at <= clock_timestamp()
    for update skip locked;

    if found then
        perform private.interrupt_turn(user_id, v_turn_id);
    end if;
    return jsonb_build_object('settled', (v_turn_id is not null)::integer);
end;
$$;

revoke all on function public.settle_expired_turn from public, anon, authenticated, service_role;
grant execute on function public.settle_expired_turn to service_role;
comment on function public.settle_expired_turn is 'Settles a conversation''s running turn if its lease is over.';

-- A listing: it reads over all users, and settle_expired_turn then writes for one.
create function public.list_expired_turns(most integer default 1000)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object('turns', coalesce(jsonb_agg(to_jsonb(expired)), '[]'))
    from (
        select t.user_id, t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at <= clock_timestamp()
        order by t.lease_expires_at
        limit list_expired_turns.most
    ) as expired;
$$;

revoke all on function public.list_expired_turns from public, anon, authenticated, service_role;
grant execute on function public.list_expired_turns to service_role;
comment on function public.list_expired_turns is 'The running turns whose lease is over, longest first: {turns: [{user_id, conversation_id}]}.';

-- What a signed-in user reads and manages. All of it runs as the caller, under row-level
-- security, so none of these functions can show more than a plain select would.

create function public.create_conversation(
    user_id uuid,
    title text default 'New Chat',
    project_id uuid default null,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    perform private.require_self(create_conversation.user_id);

    insert into public.conversations (user_id, title, project_id, metadata)
    values (create_conversation.user_id, create_conversation.title,
            create_conversation.project_id, create_conversation.metadata)
    returning to_jsonb(conversations) - 'deleting_since' into v_conversation;

    return v_conversation;
end;
$$;

revoke all on function public.create_conversation from public, anon, authenticated, service_role;
grant execute on function public.create_conversation to authenticated;
comment on function public.create_conversation is 'Starts an empty conversation of this user''s.';

create function public.get_conversation(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
    perform private.require_self(user_id);
    return to_jsonb(private.find_conversation(user_id, conversation_id));
end;
$$;

revoke all on function public.get_conversation from public, anon, authenticated, service_role;
grant execute on function public.get_conversation to authenticated, service_role;
comment on function public.get_conversation is 'One conversation''s row. Raises PT404.';

-- A plain keyset: rows come in the order of one index, from one place on. A conversation that is
-- written to meanwhile is at the top when somebody looks again. Sorting is switched off, so that
-- whatever the statistics say there is one plan: it reads the page's rows and no others. A page has
-- a size in bytes too, since metadata may be long.
create function public.list_conversations(
    user_id uuid,
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan -- there is one plan, and planning costs as much as ten rows
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    c_row_bytes constant integer := 1500; -- what a row has beside what is measured, its title included
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_before constant timestamptz := coalesce(before_updated_at, 'infinity');
    v_before_id constant uuid := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    v_row private.conversations;
    v_rows jsonb[] := '{}';
    v_bytes bigint := 0;
    v_next jsonb;
begin
    perform private.require_self(list_conversations.user_id);

    for v_row in
        select c.*
        from private.conversations as c
        where c.user_id = list_conversations.user_id
          and (c.archived_at is not null) = list_conversations.archived
          and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
          and (c.updated_at, c.id) < (v_before, v_before_id)
        order by c.updated_at desc, c.id desc
        limit v_limit + 1
    loop
        v_bytes := v_bytes + c_row_bytes + octet_length(v_row.metadata::text)
            + coalesce(octet_length(v_row.imported::text), 0);
        if cardinality(v_rows) = v_limit or v_bytes > c_page_bytes and v_rows <> '{}' then
            v_next := jsonb_build_object(
                'before_updated_at', v_rows[cardinality(v_rows)] -> 'updated_at',
                'before_id', v_rows[cardinality(v_rows)] -> 'id'
            );
            exit;
        end if;
        v_rows := v_rows || to_jsonb(v_row);
    end loop;

    return jsonb_build_object('conversations', v_rows, 'next', v_next);
end;
$$;

revoke all on function public.list_conversations from public, anon, authenticated, service_role;
grant execute on function public.list_conversations to authenticated, service_role;
comment on function public.list_conversations is 'A user''s conversations by last activity, newest first. next has the arguments of the page that follows.';

create function public.update_conversation(
    user_id uuid,
    conversation_id uuid,
    title text default null,
    archived boolean default null,
    active_branch integer default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
begin
    perform private.require_self(update_conversation.user_id);

    if active_branch is not null then
        perform private.choose_branch(user_id, conversation_id, active_branch);
    end if;

    update private.conversations as c
    set title = coalesce(update_conversation.title, c.title),
        archived_at = case
            when update_conversation.archived is null then c.archived_at
            when update_conversation.archived then coalesce(c.archived_at, v_now)
        end
    where c.user_id = update_conversation.user_id and c.id = update_conversation.conversation_id;

    return public.get_conversation(user_id, conversation_id);
end;
$$;

revoke all on function public.update_conversation from public, anon, authenticated, service_role;
grant execute on function public.update_conversation to authenticated, service_role;
comment on function public.update_conversation is 'Renames, archives or restores a conversation, or makes the path through a branch the active one; what is null stays as it is. Raises PT404, PT409.';

-- A page is bounded in bytes too, as one of an export is: fifty messages of a few megabytes would take
-- longer than a call may, and beyond a quarter of a gigabyte no jsonb could hold them.
create function public.load_conversation(
    user_id uuid,
    conversation_id uuid,
    page_size integer default 50,
    before bigint default null,
    after bigint default null,
    around uuid default null,
    view text default 'active',
    branch integer default null
)
returns json
language plpgsql stable security invoker set search_path = ''
set jit = off -- compiling takes longer than reading a page
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_conversation private.conversations;
    v_open_turn jsonb;
    v_room integer;
    v_branch integer;
    v_branches public.branches[] := '{}';
    v_path int8multirange;
    v_page int8multirange;
    v_before bigint;
    v_after bigint;
    v_message public.messages;
    v_row json;
    v_messages json[] := '{}';
    v_oldest bigint;
    v_newest bigint;
    v_around bigint;
    v_around_branch integer;
    v_newer int8multirange;
    v_place bigint;
    v_count bigint;
    v_nearest bigint;
begin
    perform private.require_self(load_conversation.user_id);

    v_conversation := private.find_conversation(user_id, conversation_id);

    select jsonb_build_object(
        'turn_id', t.id,
        'status', t.status,
        'attempt', t.attempt,
        'user_message_id', coalesce(t.answers, (
            select m.id
            from public.messages as m
            where m.user_id = t.user_id and m.turn_id = t.id
              and m.role = 'user'
        )),
        'draft', t.draft,
        'draft_parts', private.parts_of_draft(t.draft, t.draft_parts),
        'offset', char_length(t.draft),
        'started_at', t.started_at,
        'lease_expires_at', t.lease_expires_at,
        'is_expired', t.lease_expires_at <= now()
    )
    into v_open_turn
    from public.turns as t
    where t.user_id = load_conversation.user_id
      and t.conversation_id = load_conversation.conversation_id
      and t.status = 'running';

    v_room := c_page_bytes - octet_length(to_jsonb(v_conversation)::text)
        - coalesce(octet_length(v_open_turn::text), 0);

    if around is not null then
        -- By its id alone, lest a conversation that is taken for short is read through for it.
        select n.seq, n.branch into v_around, v_around_branch
        from (
            select m.seq, m.branch, m.conversation_id
            from public.messages as m
            where m.user_id = load_conversation.user_id and m.id = load_conversation.around
            offset 0
        ) as n
        where n.conversation_id = load_conversation.conversation_id;
    end if;

    v_path := int8multirange(int8range(1, v_conversation.last_seq + 1));
    if view = 'active' then
        v_branch := v_conversation.active_branch;
        v_branches := private.branches_of(user_id, v_conversation);
        if branch is not null then
            v_branch := private.path_end(v_branches, branch, v_conversation.last_seq);
        end if;
        if v_branches <> '{}' then
            v_path := private.path_along(v_branches, v_branch, v_conversation.last_seq);
            if branch is null and not v_around <@ v_path then
                v_branch := private.path_end(
                    v_branches, v_around_branch, v_conversation.last_seq, v_around
                );
                v_path := private.path_along(v_branches, v_branch, v_conversation.last_seq);
            end if;
        end if;
    end if;

    if around is not null and (v_around <@ v_path) is not true then
        raise exception 'Message not found.'
            using errcode = 'PT404', detail = 'message_not_found';
    end if;

    -- Seq has no gaps, so a page is a few ranges of it, mostly one: of what is on either side of a place.
    v_before := least(
        greatest(coalesce(before, v_conversation.last_seq + 1), 1), v_conversation.last_seq + 1
    );
    v_after := case when after is not null then least(greatest(after, 0), v_conversation.last_seq) end;
    v_place := coalesce(v_around, v_after + 1, v_before);
    v_newer := v_path * int8multirange(int8range(v_place, greatest(v_before, v_place)));
    v_count := case
        when after is not null then 0
        when around is null then v_limit
        else greatest(v_limit / 2, v_limit - private.length_of(v_newer))
    end;
    v_page := private.part_of(v_path * int8multirange(int8range(null, v_place)), -v_count);
    if not isempty(v_newer) then
        v_page := v_page + private.part_of(v_newer, v_limit - private.length_of(v_page));
    end if;
    v_nearest := coalesce(
        v_around, case when after is null then upper(v_page) - 1 else lower(v_page) end
    );

    -- A page has a size in bytes too: of long messages it holds those that are nearest to where it
    -- was asked for, and always that one, for which there is room in each page. What has no room by its
    -- plain length isn't read for that; all else counts as it is sent, with what JSON escapes.
    for v_message in
        select m.*
        from unnest(v_page) as part
        cross join lateral (
            select *
            from public.messages
            where messages.user_id = load_conversation.user_id
              and messages.conversation_id = load_conversation.conversation_id
              and messages.seq >= lower(part)
              and messages.seq < upper(part)
            offset 0
        ) as m
        order by abs(m.seq - v_nearest), m.seq
    loop
        exit when v_oldest is not null
            and octet_length(v_message.content)
                + coalesce(octet_length(v_message.generated_code), 0) > v_room;
        v_row := row_to_json(v_message);
        v_room := v_room - octet_length(v_row::text);
        exit when v_oldest is not null and v_room < 0;

        if v_message.seq < v_nearest then
            v_messages := v_row || v_messages;
        else
            v_messages := v_messages || v_row;
        end if;
        v_oldest := least(v_oldest, v_message.seq);
        v_newest := greatest(v_newest, v_message.seq);
    end loop;

    return json_build_object(
        'conversation', v_conversation,
        'messages', v_messages,
        'page', json_build_object(
            'has_older', coalesce(lower(v_path) < coalesce(v_oldest, v_after + 1, v_before), false),
            'has_newer', coalesce(
                upper(v_path) - 1 > coalesce(v_newest, v_after, v_before - 1), false
            ),
            'oldest_seq', v_oldest,
            'newest_seq', v_newest
        ),
        'last_seq', v_conversation.last_seq,
        'branch', v_branch,
        'siblings', case v_branches
            when '{}' then '{}'
            else private.find_siblings(
                user_id, conversation_id,
                v_page * int8multirange(int8range(v_oldest, v_newest, '[]')),
                v_branches, v_conversation.last_seq
            )
        end,
        'open_turn', v_open_turn
    );
end;
$$;

revoke all on function public.load_conversation from public, anon, authenticated, service_role;
grant execute on function public.load_conversation to authenticated, service_role;
comment on function public.load_conversation is 'A page of a conversation in ascending order: the newest by default, or before/after a seq, or around a message; of the active path, that through a branch or the message, or with the view all in the order of writing. At most page_size rows and eight megabytes. Raises PT404.';

-- How text becomes words: folded, taken apart, and in stretches of bounded size.

-- Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer: words without spaces between them.
create function search.unspaced_letters()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select '\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007'
        '\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff'
        '\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff';
$$;

comment on function search.unspaced_letters is 'The letters, as in a regular expression''s brackets, of which each pair is indexed as a word.';

-- Characters that change nothing of a word: Hebrew points, Arabic vowels and its lengthening stroke,
-- Syriac points, accents, soft hyphens, and what is not seen at all.
create function search.ignored_characters()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select '\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7'
        '\u0610-\u061a\u061c\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8'
        '\u06ea-\u06ed\u0711\u0730-\u074a\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff\u115f\u1160\u17b4\u17b5'
        '\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f'
        '\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\U000e0000-\U000e0fff';
$$;

grant execute on function search.ignored_characters to authenticated;
comment on function search.ignored_characters is 'The characters, as in a regular expression''s brackets, that are passed over in stored text and in what is looked for.';

-- The one way in which text is compared, stored and asked for alike. Of a text in normal form C each
-- character is folded by itself, whatever stands beside it: that is what find_place counts on.
create function search.fold_text(source text)
returns text
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_text text;
begin
    if octet_length(source) = char_length(source) then
        return regexp_replace(lower(source), '[^ [:alnum:]]', ' ', 'g');
    else
        v_text := lower(regexp_replace(
            normalize(source, NFKD), '[' || search.ignored_characters() || ']+', '', 'g'
        ));
        v_text := translate(
            v_text,
            'ςıđðħłŋøŧىیکة٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹',
            'σiddhlnotييكه01234567890123456789'
        );
        v_text := replace(replace(replace(replace(
            v_text, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
        -- Vowel signs and the like stand in words, though they are no letters: Indic scripts, Thai, Lao,
        -- Tibetan, Burmese, Khmer, Mongolian, those of the islands. Letters between them do no harm
        -- here, signs would.
        return regexp_replace(
            normalize(v_text, NFC),
            '[^ [:alnum:]'
            '\u07a6-\u07b0\u07eb-\u07f3\u0900-\u0963\u0981-\u09e3\u0a01-\u0a75\u0a81-\u0ae3'
            '\u0b01-\u0b63\u0b82-\u0bd7\u0c00-\u0c63\u0c81-\u0c83\u0cbc-\u0d4d\u0d57\u0d62\u0d63'
            '\u0d81-\u0df3\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u0f18\u0f19\u0f35\u0f37\u0f39'
            '\u0f3e-\u0f84\u0f86-\u0fbc\u102b-\u103e\u1056-\u109d\u1712-\u1734\u1752-\u17d3\u17dd'
            '\u1885-\u18a9\u1920-\u193b\u1a17-\u1a1b\u1a55-\u1a7f\u1b00-\u1b44\u1b80-\u1bf3'
            '\u1c24-\u1c37\u302a-\u302f\u3099\u309a\ua802-\ua827\ua880-\ua8c5\ua926-\ua92d'
            '\ua947-\ua953\ua980-\ua9c0\uaa29-\uaa4d\uaaeb-\uaaef\uabe3-\uabea'
            ']',
            ' ', 'g'
        );
    end if;
end;
$$;

-- A caller's snippet is made as themselves, so these are what a caller needs.
grant execute on function search.fold_text to authenticated;
comment on function search.fold_text is 'Text as it is compared: lower case, without accents, points and what is not seen, compatible forms as what they stand for, nothing but words and spaces.';

create function search.find_place(source text, folded text, folded_place integer)
returns integer
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    c_shortened constant text := '[\u3131-\u318eﾞﾟ' || search.ignored_characters() || ']';
    v_length constant integer := char_length(source);
    v_size integer;
    v_before integer := 0; -- so many characters of the text are so many of the folded one
    v_folded integer := 0;
    v_part text := source; -- where it lies
    v_at integer;
    v_more integer;
    v_step integer;
begin
    -- Where nothing became shorter, and the whole no longer, each character is one.
    if char_length(folded) = v_length and source !~ c_shortened then
        return folded_place;
    end if;

    foreach v_size in array array[4096, 256, 16, 1] loop
        v_at := 0;
        while v_before + v_at + v_size <= v_length loop
            -- Half-width sound marks become one with the letter before them.
            v_step := v_size + (substr(v_part, v_at + v_size + 1, 1) in ('ﾞ', 'ﾟ'))::integer;
            v_more := char_length(search.fold_text(substr(v_part, v_at + 1, v_step)));
            exit when v_folded + v_more >= folded_place;
            v_at := v_at + v_step;
            v_folded := v_folded + v_more;
        end loop;
        v_before := v_before + v_at;
        v_part := substr(v_part, v_at + 1, v_size + 1);
    end loop;
    return v_before + 1;
end;
$$;

grant execute on function search.find_place to authenticated;
comment on function search.find_place is 'Which character of a text in normal form C became the one at this place of what it folds to, both counted from 1.';

create function search.split_words(source text)
returns text
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_text text := search.fold_text(source);
    c_letter constant text := '[' || search.unspaced_letters() || ']';
begin
    if octet_length(v_text) > char_length(v_text) then
        -- A run of such letters becomes its pairs and its last letter: ABC is AB BC C.
        v_text := regexp_replace(v_text, '(' || c_letter || '+)', ' \1 ', 'g');
        v_text := regexp_replace(v_text, '(?<=' || c_letter || ')(' || c_letter || ')', '\1 \1', 'g');
    end if;
    return v_text;
end;
$$;

comment on function search.split_words is 'The words of a text, with spaces between them: an identifier falls into its parts at each dot and underscore, and Chinese, Japanese, Korean and Thai into pairs of letters.';

-- Of the first stretch alone: three quarters of what a very long message costs the index would be the
-- parts of its words.
create function search.long_words(starts_at integer, words tsvector)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(string_agg(word, ' '), '')
    from unnest(tsvector_to_array(words)) as word
    where starts_at = 1 and char_length(word) > 3;
$$;

comment on function search.long_words is 'The words that can have a part of three letters or more and begin a message, for the trigram index.';

-- A message has one row for each stretch of it that a tsvector surely holds, so that the index
-- never refuses a message. Positions in a tsvector end at 16,383, hence the shorter stretches where
-- each letter is a word. In the worst case, 64,000 different letters of four bytes or 16,000
-- different pairs of them, a tsvector takes half of the megabyte that it may have. A stretch reaches
-- into the next one, so that no word and no short phrase is cut in two.
--
-- Of a very long message the first megabyte is found, and its end: of eight megabytes of words the index
-- took longer than a call to the store may.
create function search.read_words(content text, generated_code text)
returns table (starts_at integer, words tsvector)
language plpgsql immutable security invoker set search_path = ''
set client_min_messages = warning -- a word over 2 kB is left out with a notice
as $$
declare
    c_bytes constant bigint := 1000000;
    c_end constant integer := 16000;
    v_text constant text := concat_ws(E'\n', content, generated_code);
    v_length constant integer := char_length(v_text);
    v_longest constant integer := c_bytes * v_length / greatest(octet_length(v_text), 1);
    v_start constant text := left(v_text, v_longest);
    v_size constant integer := case
        when octet_length(v_start) > char_length(v_start)
            and v_start ~ ('[' || search.unspaced_letters() || ']') then 16000
        else 64000
    end;
begin
    return query
    select s.starts_at, to_tsvector('pg_catalog.simple', search.split_words(s.stretch))
    from (
        select n * v_size + 1, substr(v_start, n * v_size + 1, v_size + 256)
        from generate_series(0, greatest(char_length(v_start) - 257, 0) / v_size) as n
        union all
        select rest.starts_at, substr(v_text, rest.starts_at)
        from (select greatest(v_longest, v_length - c_end) + 1) as rest (starts_at)
        where v_length > v_longest
    ) as s (starts_at, stretch);
end;
$$;

comment on function search.read_words is 'What can be found of a message: its words by stretches, of the first megabyte and of the last 16,000 characters.';

-- The index that a search reads: the words of each message, and up to where they are in it.
--
-- Row-level security alone can't make a search fast. Postgres lets an operator run before a policy
-- only if it is leakproof, and neither @@ nor LIKE is: under a policy an index on them is left
-- unused. So the index is a table of its own, in a schema that no API serves. Nobody is granted
-- it, and one narrow function (find_messages) reads it as its owner.
--
-- It is not written with the message: that would be most of what a turn's commit writes. A commit
-- leaves at most one small row, the watermark, and index_messages follows.

-- The key does not begin with the user: of an index that begins with one, the planner would read all of a user's
-- words, where what it knows of them is old.
create table search.documents (
    message_id uuid not null,
    starts_at integer not null,
    user_id uuid not null,
    conversation_id uuid not null,
    role text not null,
    created_at timestamptz not null,
    words tsvector not null,

    constraint documents_pkey primary key (message_id, user_id, starts_at),
    constraint documents_user_id_message_id_fkey foreign key (user_id, message_id)
        references public.messages (user_id, id) on delete cascade
);

-- Leads with the user, so that a search costs what its user has stored and not what everybody has.
-- pg_trgm stands where the project had it before: its operators are named by that schema.
do $$
begin
    execute format(
        'create index idx_documents_words
            on search.documents
            using gin (user_id, words, search.long_words(starts_at, words) %s.gin_trgm_ops)',
        (select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm')
    );
end;
$$;

alter table search.documents enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.documents
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.documents from public, anon, authenticated, service_role;

comment on table search.documents is 'The words of each message up to its conversation''s watermark, deleted with it. No policy for insert, update, delete: only index_messages writes. Granted to nobody: only find_messages reads it.';
comment on column search.documents.starts_at is 'The character of the message''s text and code, one after the other, that these words start at.';

-- A place in a conversation is given under its lock, in the order of commits, so one number says what
-- is in the index: no message below it can still appear. The key begins with the user and the only
-- column that changes is in no index.
create table search.watermarks (
    user_id uuid not null,
    conversation_id uuid not null,
    indexed_seq bigint not null,

    constraint watermarks_pkey primary key (user_id, conversation_id),
    constraint watermarks_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade
);

alter table search.watermarks enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.watermarks
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.watermarks from public, anon, authenticated, service_role;

comment on table search.watermarks is 'The conversations of which not all is in the index. No policy for insert, update, delete: a trigger and index_messages write. Granted to nobody.';
comment on column search.watermarks.indexed_seq is 'Messages with a greater seq are not in the index yet. All messages of a conversation without a row are.';

-- Runs as its owner, because who writes a message may not write the index. Whoever would take a
-- conversation's row away holds the conversation, as every writer does.
create function search.note_unindexed()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into search.watermarks (user_id, conversation_id, indexed_seq)
    values (new.user_id, new.conversation_id, new.seq - 1)
    on conflict on constraint watermarks_pkey do nothing;
    return null;
end;
$$;

comment on function search.note_unindexed is 'Leaves a watermark below a message, where its conversation has none.';

create trigger messages_note_unindexed
    after insert on public.messages
    for each row
    when (new.turn_id is null) -- of a turn's, add_message does it
    execute function search.note_unindexed();

-- Runs as its owner, as the one above.
create function search.forget_words()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from search.documents as d
    where d.user_id = any (array[old.user_id, new.user_id])
      and d.message_id = old.id;

    insert into search.watermarks as w (user_id, conversation_id, indexed_seq)
    values (new.user_id, new.conversation_id, new.seq - 1)
    on conflict on constraint watermarks_pkey do update
    set indexed_seq = least(w.indexed_seq, excluded.indexed_seq);
    return null;
end;
$$;

comment on function search.forget_words is 'Takes the words of a changed message out of the index, and its watermark back. Only a repair ever updates a message.';

create trigger messages_forget_words
    after update of id, conversation_id, user_id, role, content, generated_code, created_at, seq
    on public.messages
    for each row
    execute function search.forget_words();

-- How the index follows what is stored: in steps, of one user each, that any number may take at once
-- and that may end anywhere. A step waits for nobody, so nobody who waits for it can wait in a circle.

-- Runs as its owner, because nobody is granted the index.
create function public.index_messages(user_id uuid, most integer default 500)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 50;
    c_bytes constant bigint := 1000000;
    v_watermark record;
    v_step record;
    v_messages bigint := 0;
    v_bytes bigint := 0;
    v_ids uuid[] := '{}';
    v_seqs bigint[] := '{}';
begin
    for v_watermark in
        select w.conversation_id, w.indexed_seq
        from search.watermarks as w
        where w.user_id = index_messages.user_id
        order by w.conversation_id
        limit c_conversations
        for update skip locked
    loop
        exit when v_messages >= most or v_bytes >= c_bytes;
        begin
            -- seq has no gaps, so a step is a range of it, whatever the planner takes a conversation for.
            -- Held against a deletion until the commit. Whoever deletes one keeps this from waiting.
            with due as materialized (
                select m.id, m.seq, m.role, m.created_at, m.content, m.generated_code,
                       octet_length(m.content) + coalesce(octet_length(m.generated_code), 0) as size
                from public.messages as m
                where m.user_id = index_messages.user_id
                  and m.conversation_id = v_watermark.conversation_id
                  and m.seq between v_watermark.indexed_seq + 1
                      and v_watermark.indexed_seq + most - v_messages
                for key share nowait
            ),
            chosen as (
                select *
                from (
                    select d.*, sum(d.size) over (order by d.seq) - d.size as size_before
                    from due as d
                ) as sized
                where size_before < c_bytes - v_bytes
            ),
            written as (
                insert into search.documents
                    (message_id, starts_at, user_id, conversation_id, role, created_at, words)
                select c.id, w.starts_at, index_messages.user_id, v_watermark.conversation_id,
                       c.role, c.created_at, w.words
                from chosen as c
                cross join lateral search.read_words(c.content, c.generated_code) as w
                on conflict on constraint documents_pkey do nothing
            )
            -- Where nothing is there, but something beyond, a repair has yet to close the places.
            select count(*) as messages,
                   coalesce(sum(c.size), 0) as bytes,
                   coalesce(max(c.seq), greatest(v_watermark.indexed_seq, (
                       select least(v_watermark.indexed_seq + most - v_messages, its.last_seq)
                       from private.conversations as its
                       where its.user_id = index_messages.user_id
                         and its.id = v_watermark.conversation_id
                   ))) as indexed_seq
            into v_step
            from chosen as c;
        exception
            when lock_not_available then
                continue; -- it is being deleted, or repaired
        end;
        v_messages := v_messages + v_step.messages;
        v_bytes := v_bytes + v_step.bytes;
        v_ids := v_ids || v_watermark.conversation_id;
        v_seqs := v_seqs || v_step.indexed_seq;
    end loop;

    -- Last, because a writer may wait for these rows. A watermark may go only while nobody writes to its
    -- conversation, whose row, once it is held, has the place of its newest message.
    delete from search.watermarks as w
    using (
        select step.conversation_id
        from unnest(v_ids, v_seqs) as step (conversation_id, indexed_seq)
        -- With its lock it is looked up, whatever the planner takes the tables for.
        cross join lateral (
            select c.id
            from private.conversations as c
            where c.user_id = index_messages.user_id and c.id = step.conversation_id
              and c.last_seq <= step.indexed_seq
            for no key update skip locked
        ) as held
    ) as done
    where w.user_id = index_messages.user_id and w.conversation_id = done.conversation_id;

    update search.watermarks as w
    set indexed_seq = step.indexed_seq
    from unnest(v_ids, v_seqs) as step (conversation_id, indexed_seq)
    where w.user_id = index_messages.user_id and w.conversation_id = step.conversation_id
      and w.indexed_seq < step.indexed_seq;

    return jsonb_build_object(
        'indexed', v_messages,
        'more', exists (
            select 1 from search.watermarks as w where w.user_id = index_messages.user_id
        )
    );
end;
$$;

revoke all on function public.index_messages from public, anon, authenticated, service_role;
grant execute on function public.index_messages to service_role;
comment on function public.index_messages is 'A step of a user''s search index: so many messages and, beyond the first, a megabyte of text. Answers {indexed, more}; more with nothing indexed means that others hold what is left.';

-- A listing: it reads over all users, and index_messages then writes for one. Each user is one look at
-- the key, however many conversations are theirs. In a random order: where time runs out before the
-- end of the list, it does so for others each time. Runs as its owner, because nobody is granted the
-- watermarks.
create function public.list_users_to_index(most integer default 10000)
returns jsonb
language sql volatile security definer set search_path = ''
as $$
    with recursive users (user_id) as (
        (select w.user_id from search.watermarks as w order by w.user_id limit 1)
        union all
        select following.user_id
        from users as u
        cross join lateral (
            select w.user_id
            from search.watermarks as w
            where w.user_id > u.user_id
            order by w.user_id
            limit 1
        ) as following
    )
    select jsonb_build_object('users', coalesce(jsonb_agg(u.user_id order by random()), '[]'))
    from (select * from users limit list_users_to_index.most) as u;
$$;

revoke all on function public.list_users_to_index from public, anon, authenticated, service_role;
grant execute on function public.list_users_to_index to service_role;
comment on function public.list_users_to_index is 'Users of whom not all messages are in the search index: {users: [id]}, in a random order.';

-- What a search reads beside the index. Sorting is switched off, so that whatever the statistics say the
-- newest come from the end of their index, and no others are read.
create function search.read_unindexed(user_id uuid, most integer)
returns search.documents[]
language plpgsql stable security invoker set search_path = ''
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    c_bytes constant integer := 200000;
begin
    if not exists (
        select 1 from search.watermarks as w where w.user_id = read_unindexed.user_id
    ) then
        return '{}';
    end if;

    return array(
        select row(
            m.id, read.starts_at, m.user_id, m.conversation_id, m.role, m.created_at, read.words
        )::search.documents
        from (
            select newest.*,
                   sum(octet_length(newest.content) + coalesce(octet_length(newest.generated_code), 0))
                       over (
                           order by newest.created_at desc, newest.id
                           rows between unbounded preceding and 1 preceding
                       ) as bytes_before
            from (
                select m.*
                from public.messages as m
                where m.user_id = read_unindexed.user_id
                order by m.created_at desc
                limit most
            ) as newest
            join search.watermarks as w
                on w.user_id = read_unindexed.user_id
                and w.conversation_id = newest.conversation_id
                and w.indexed_seq < newest.seq
        ) as m
        cross join lateral search.read_words(m.content, m.generated_code) as read
        where coalesce(m.bytes_before, 0) < c_bytes
    );
end;
$$;

comment on function search.read_unindexed is 'Of a user''s newest messages, so many, those above their watermarks, as they will be in the index: one, and beyond it 200 kB of text.';

-- What somebody typed, as the query that the index is asked.

create function search.parse_query(q text)
returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    c_letter constant text := '[' || search.unspaced_letters() || ']';
    v_token text[];
    v_words text;
    v_last text;
    v_start tsquery;
    v_term tsquery;
    v_side tsquery := ''; -- of an `or`
    v_query tsquery := '';
    v_is_positive boolean := false;
    v_terms text[] := '{}';
begin
    if char_length(q) > 1000 then
        raise exception 'What is looked for is longer than 1000 characters.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;

    -- Groups: a minus, what is in quotes, a word without. A quote that nothing closes is passed over.
    -- Keyboards of telephones write quotes in pairs.
    for v_token in
        select regexp_matches(
            translate(q, '“”„‟«»＂', '"""""""') || ' or ', '(-?)(?:"([^"]*)"|([^\s"]+))', 'g'
        )
    loop
        if lower(v_token[3]) = 'or' and v_token[1] = '' then
            if numnode(v_side) > 0 and not v_is_positive then
                raise exception 'There are only words to leave out: add one to look for.'
                    using errcode = 'PT400', detail = 'invalid_request';
            end if;
            v_query := v_query || v_side;
            v_side := '';
            v_is_positive := false;
            continue;
        end if;

        v_words := btrim(search.split_words(coalesce(v_token[2], v_token[3])));
        -- Where it ends in a pair of letters, the text may go on: its last letter is no word there.
        v_words := regexp_replace(v_words, '(' || c_letter || '{2})\s+' || c_letter || '$', '\1');
        -- So may it where it ends in one letter by itself: 10 and a month are found before a day.
        v_last := substring(v_words from '(?:^|\s)(' || c_letter || ')$');
        v_term := phraseto_tsquery('pg_catalog.simple', rtrim(v_words, coalesce(v_last, '')));
        if v_last is not null then
            v_start := (quote_literal(v_last) || ':*')::tsquery;
            v_term := case when numnode(v_term) = 0 then v_start else v_term <-> v_start end;
        end if;
        continue when numnode(v_term) = 0;

        if v_token[1] = '-' then
            v_side := v_side && !!v_term;
        else
            v_side := v_side && v_term;
            v_is_positive := true;
            v_terms := v_terms || array(
                select (regexp_matches(
                    search.fold_text(coalesce(v_token[2], v_token[3])),
                    c_letter || '+|(?:(?!' || c_letter || ')[^ ])+', 'g'
                ))[1]
            );
        end if;
    end loop;

    if numnode(v_query) = 0 then
        raise exception 'There is no word to look for: signs, quotes and emoji alone can''t be found.'
            using errcode = 'PT400', detail = 'invalid_request';
    end if;
    return (
        select jsonb_build_object(
            'query', v_query::text,
            'words', coalesce(
                jsonb_agg(distinct term) filter (
                    -- A longer one is in no index and fits in no tsquery.
                    where term !~ c_letter and octet_length(term) < 2047
                ),
                '[]'
            ),
            'runs', coalesce(jsonb_agg(distinct term) filter (where term ~ c_letter), '[]')
        )
        from unnest(v_terms) as term
    );
end;
$$;

comment on function search.parse_query is 'What a web search asks for: {query, words, runs}, the last two as they are to be marked, words whole and runs of unspaced letters wherever they are. Raises PT400 where there is nothing to look for.';

-- Each word becomes all words of this user that it is a part of. What it costs is bounded: a
-- thousand stretches are looked at for each word, and a hundred words taken.
create function search.widen_query(user_id uuid, parsed jsonb, unindexed search.documents[])
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_word text;
    v_found text[];
    v_query tsquery := (parsed ->> 'query')::tsquery;
    v_ranking tsquery := v_query;
    v_is_cut boolean := false;
begin
    for v_word in
        select word from jsonb_array_elements_text(parsed -> 'words') as word
        where char_length(word) > 2
    loop
        select array_agg(distinct w.word), count(distinct d.place) = 1000 or v_is_cut
        into v_found, v_is_cut
        from (
            select (o.message_id, o.starts_at)::text as place, o.words
            from (
                select d.message_id, d.starts_at, d.words
                from search.documents as d
                where d.user_id = widen_query.user_id
                  and search.long_words(d.starts_at, d.words) like '%' || v_word || '%'
                union all
                select n.message_id, n.starts_at, n.words
                from unnest(widen_query.unindexed) as n
                where n.starts_at = 1
            ) as o
            limit 1000
        ) as d
        cross join lateral unnest(tsvector_to_array(d.words)) as w (word)
        where w.word like '%' || v_word || '%';

        v_is_cut := v_is_cut or coalesce(cardinality(v_found) > 100, false);
        v_found := array_append(v_found[:100], v_word);
        v_query := ts_rewrite(
            v_query,
            quote_literal(v_word)::tsquery,
            (select string_agg(quote_literal(word), ' | ') from unnest(v_found) as word)::tsquery
        );
        -- Not by the words that were found: a rank must stay the same while others are written.
        v_ranking := ts_rewrite(
            v_ranking, quote_literal(v_word)::tsquery, (quote_literal(v_word) || ':*')::tsquery
        );
    end loop;
    return jsonb_build_object('query', v_query, 'ranking', v_ranking, 'is_cut', v_is_cut);
end;
$$;

comment on function search.widen_query is 'The query with each word of three letters or more replaced by this user''s words that it is a part of: {query, ranking, is_cut}.';

-- Search in one's own messages: by words, ranked, and by parts of words where no message has them.
-- find_messages answers nothing but ids and ranks, of who is calling. What a caller sees of a message
-- is then read by search_messages as the caller, under the policies of messages and conversations.

create function search.find_messages(
    user_id uuid,
    q text,
    conversation_id uuid,
    project_id uuid,
    role text,
    since timestamptz,
    until timestamptz,
    archived boolean,
    page_size integer,
    page_after jsonb
)
returns jsonb
language plpgsql stable security definer set search_path = ''
set plan_cache_mode = force_custom_plan -- what is looked for decides which index serves
as $$
#variable_conflict use_column
declare
    c_ranked constant integer := 1000;
    c_letter constant text := '[' || search.unspaced_letters() || ']';
    v_parsed constant jsonb := search.parse_query(q);
    v_query tsquery := (v_parsed ->> 'query')::tsquery;
    v_ranking tsquery := v_query;
    v_wide jsonb;
    v_is_wide boolean := coalesce((page_after ->> 'parts')::boolean, false);
    v_is_cut boolean := coalesce((page_after ->> 'cut')::boolean, false);
    v_oldest timestamptz := (page_after ->> 'oldest')::timestamptz;
    v_newest timestamptz := (page_after ->> 'newest')::timestamptz;
    v_hits jsonb;
    v_pattern text;
    v_focus text;
    v_unindexed search.documents[];
begin
    perform private.require_self(find_messages.user_id);

    -- One snapshot shows the index, the watermarks and what is above them: a message is in one of both.
    v_unindexed := search.read_unindexed(find_messages.user_id, 100);

    loop
        if v_is_wide then
            v_wide := search.widen_query(find_messages.user_id, v_parsed, v_unindexed);
            v_query := (v_wide ->> 'query')::tsquery;
            v_ranking := (v_wide ->> 'ranking')::tsquery;
            v_is_cut := v_is_cut or (v_wide ->> 'is_cut')::boolean;
        end if;

        -- The first page fixes the stretch of time that all pages are about: what is written
        -- meanwhile neither comes in nor pushes anything out.
        with matches as (
            select d.message_id, d.starts_at, d.created_at, d.words,
                   row_number() over (order by d.created_at desc, d.message_id desc) as number
            from (
                select i.*
                from search.documents as i
                where i.user_id = find_messages.user_id
                union all
                select n.*
                from unnest(v_unindexed) as n
            ) as d
            -- With a limit it is looked up, whatever the planner takes the tables for.
            cross join lateral (
                select c.project_id, c.archived_at
                from private.conversations as c
                where c.user_id = find_messages.user_id and c.id = d.conversation_id
                limit 1
            ) as its
            where d.words @@ v_query
              and (find_messages.conversation_id is null
                   or d.conversation_id = find_messages.conversation_id)
              and (find_messages.role is null or d.role = find_messages.role)
              and (since is null or d.created_at >= since)
              and (until is null or d.created_at < until)
              and (page_after is null or d.created_at between v_oldest and v_newest)
              and (find_messages.project_id is null or its.project_id = find_messages.project_id)
              and (archived or its.archived_at is null
                   or d.conversation_id = find_messages.conversation_id)
            order by d.created_at desc, d.message_id desc
            limit case when page_after is null then c_ranked + 1 end
        ),
        considered as (
            select *
            from matches
            where page_after is not null or number <= c_ranked
        ),
        ranked as (
            select distinct on (m.message_id)
                m.message_id, m.starts_at, m.created_at, ts_rank(m.words, v_ranking, 1) as rank
            from considered as m
            order by m.message_id, rank desc, m.starts_at
        ),
        page as (
            select r.*
            from ranked as r
            where page_after is null
               or (r.rank, r.created_at, r.message_id) < (
                   (page_after ->> 'rank')::real,
                   (page_after ->> 'created_at')::timestamptz,
                   (page_after ->> 'message_id')::uuid
               )
            order by r.rank desc, r.created_at desc, r.message_id desc
            limit page_size + 1
        )
        select jsonb_agg(to_jsonb(p) order by p.rank desc, p.created_at desc, p.message_id desc),
               coalesce(v_oldest, (select min(m.created_at) from considered as m)),
               coalesce(v_newest, (select max(m.created_at) from considered as m)),
               v_is_cut or page_after is null and (select count(*) from matches) > c_ranked
        into v_hits, v_oldest, v_newest, v_is_cut
        from page as p;

        exit when v_hits is not null or v_is_wide or page_after is not null;
        v_is_wide := true;
    end loop;

    -- A word is a whole one between spaces, and beside a letter of those scripts, as it is in the index.
    with terms as (
        select word, not v_is_wide or char_length(word) < 3 as is_whole
        from jsonb_array_elements_text(v_parsed -> 'words') as word
        union all
        select run, false
        from jsonb_array_elements_text(v_parsed -> 'runs') as run
    ),
    patterns as (
        select case
                   when t.is_whole then
                       '(?:(?<![^ ])|(?<=' || c_letter || '))(?:%s)(?:(?![^ ])|(?=' || c_letter || '))'
                   else '(?:%s)'
               end as shape,
               array_agg(t.word order by char_length(t.word) desc) as words
        from terms as t
        group by t.is_whole
    )
    select string_agg(format(p.shape, array_to_string(p.words, '|')), '|'),
           (array_agg(format(p.shape, p.words[1]) order by char_length(p.words[1]) desc))[1]
    into v_pattern, v_focus
    from patterns as p;

    return jsonb_build_object(
        'hits', coalesce(v_hits, '[]') - page_size,
        'pattern', v_pattern,
        'focus', v_focus,
        'parts', v_is_wide,
        'cut', v_is_cut,
        'incomplete', exists (
            select 1
            from search.watermarks as w
            cross join lateral (
                select c.last_seq
                from private.conversations as c
                where c.user_id = find_messages.user_id and c.id = w.conversation_id
                limit 1
            ) as its
            where w.user_id = find_messages.user_id
              and its.last_seq - w.indexed_seq > (
                  select count(distinct n.message_id)
                  from unnest(v_unindexed) as n
                  where n.conversation_id = w.conversation_id
              )
        ),
        'next', case when jsonb_array_length(v_hits) > page_size then
            (v_hits -> (page_size - 1)) - 'starts_at' || jsonb_build_object(
                'oldest', v_oldest, 'newest', v_newest, 'parts', v_is_wide, 'cut', v_is_cut
            )
        end
    );
end;
$$;

grant execute on function search.find_messages to authenticated;
comment on function search.find_messages is 'Which of the caller''s own messages match, best first: ids, places and ranks, never text; and the patterns of what to mark, of which focus says most. Runs as its owner, since under a policy no index serves.';

create function search.cut_snippet(source text, starts_at integer, pattern text, focus text)
returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    c_stretch constant integer := 64256;
    c_length constant integer := 240;
    c_before constant integer := 60;
    v_text text := substr(source, starts_at, c_stretch);
    v_snippet text;
    v_folded text;
    v_start integer;
    v_from integer := 1;
    v_to integer;
    v_end integer;
    v_marks jsonb := '[]';
begin
    if octet_length(v_text) > char_length(v_text) then
        v_text := normalize(v_text, NFC);
    end if;
    v_folded := search.fold_text(v_text);

    v_start := coalesce(
        nullif(regexp_instr(v_folded, focus), 0), nullif(regexp_instr(v_folded, pattern), 0), 1
    );
    v_start := greatest(search.find_place(v_text, v_folded, v_start) - c_before, 1);
    v_snippet := substr(v_text, v_start, c_length);
    v_folded := search.fold_text(v_snippet);
    loop
        v_from := regexp_instr(v_folded, pattern, v_from);
        exit when v_from = 0;
        v_to := regexp_instr(v_folded, pattern, v_from, 1, 1);
        -- Up to the next letter, so that points and accents are marked with theirs; but nothing unseen.
        v_end := search.find_place(v_snippet, v_folded, v_to) - 1;
        v_end := char_length(
            rtrim(
                left(v_snippet, v_end),
                U&'\00ad\200b\200c\200d\200e\200f\202a\202b\202c\202d\202e\2060\feff'
            )
        );
        v_marks := v_marks || jsonb_build_object(
            'start', search.find_place(v_snippet, v_folded, v_from) - 1,
            'end', v_end
        );
        v_from := v_to;
    end loop;

    return jsonb_build_object(
        'text', v_snippet,
        'marks', v_marks,
        'has_before', starts_at > 1 or v_start > 1,
        'has_after', v_start - 1 + c_length < char_length(v_text)
            or starts_at - 1 + c_stretch < char_length(source)
    );
end;
$$;

grant execute on function search.cut_snippet to authenticated;
comment on function search.cut_snippet is 'Some of a text around the first place of its focus: {text, marks, has_before, has_after}. Marks count characters of the snippet, so nothing that a text holds can pass for one.';

create function public.search_messages(
    user_id uuid,
    q text,
    conversation_id uuid default null,
    project_id uuid default null,
    role text default null,
    since timestamptz default null,
    until timestamptz default null,
    archived boolean default false,
    page_size integer default 20,
    page_after jsonb default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set statement_timeout = '5s' -- PostgREST makes it the call's own
as $$
#variable_conflict use_column
declare
    v_page_size constant integer := least(greatest(page_size, 1), 200);
    v_found jsonb;
    v_hits jsonb;
begin
    perform private.require_self(user_id);

    if conversation_id is not null then
        perform public.get_conversation(user_id, conversation_id);
    end if;

    v_found := search.find_messages(
        user_id, q, conversation_id, project_id, role, since, until, archived, v_page_size, page_after
    );

    select coalesce(
        jsonb_agg(
            jsonb_build_object(
                'message_id', m.id,
                'conversation_id', c.id,
                'title', c.title,
                'project_id', c.project_id,
                'archived_at', c.archived_at,
                'seq', m.seq,
                'branch', m.branch,
                'role', m.role,
                'created_at', m.created_at,
                'rank', h.rank,
                'snippet', search.cut_snippet(
                    concat_ws(E'\n', m.content, m.generated_code),
                    h.starts_at,
                    v_found ->> 'pattern',
                    v_found ->> 'focus'
                )
            )
            order by h.rank desc, m.created_at desc, m.id desc
        ),
        '[]'
    )
    into v_hits
    from jsonb_to_recordset(v_found -> 'hits')
        as h (message_id uuid, starts_at integer, rank real)
    -- With their limits they are looked up by their keys, whatever the planner takes the tables for.
    cross join lateral (
        select *
        from public.messages as o
        where o.user_id = search_messages.user_id and o.id = h.message_id
        limit 1
    ) as m
    cross join lateral (
        select *
        from private.conversations as o
        where o.user_id = search_messages.user_id and o.id = m.conversation_id
        limit 1
    ) as c;

    return v_found - array['pattern', 'focus'] || jsonb_build_object('hits', v_hits);
exception
    when query_canceled then
        raise exception 'The search takes too long: narrow it.'
            using errcode = 'PT422', detail = 'search_too_broad';
end;
$$;

revoke all on function public.search_messages from public, anon, authenticated, service_role;
grant execute on function public.search_messages to authenticated;
comment on function public.search_messages is 'A page of hits in the caller''s own messages, best first: by words, or by parts of words where no message has the words (parts). cut says that only the newest thousand matches were ranked; incomplete, that more is not in the index yet than was read beside it; next is page_after of the page that follows. Raises PT400, PT404, PT422.';

-- What an export reads, as the caller, under row-level security. A conversation is exported as of
-- the last_seq that its first page named: messages are append-only and their seq has no gaps, so
-- 1 ... last_seq is a snapshot, however long the reading takes. Each call is bounded in rows and in
-- bytes, and reads not much more than it answers: a row may have megabytes.

-- Goes through the messages one by one, and ends before the one that is too much, but not before the
-- first. Metadata counts as it is sent: stored, it is compressed.
create function private.measure_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    most bigint,
    most_bytes bigint,
    out until bigint,
    out bytes bigint
)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message record;
begin
    until := after;
    bytes := 0;
    for v_message in
        select m.seq,
               octet_length(m.content) + coalesce(octet_length(m.generated_code), 0)
                   + octet_length(m.metadata::text) + octet_length(m.parts::text)
                   + coalesce(octet_length(m.native::text), 0) as bytes
        from public.messages as m
        where m.user_id = measure_messages.user_id
          and m.conversation_id = measure_messages.conversation_id
          and m.seq > measure_messages.after
        order by m.seq
        limit greatest(most, 0)
    loop
        exit when until > after and bytes + v_message.bytes > most_bytes;
        until := v_message.seq;
        bytes := bytes + v_message.bytes;
    end loop;
end;
$$;

grant execute on function private.measure_messages to authenticated, service_role;
comment on function private.measure_messages is 'How far the messages after a seq go within so many rows and bytes, one at least, and how many bytes that is.';

-- By id, which never changes: activity during an export moves nothing over a page's end.
create function private.measure_conversations(
    user_id uuid,
    after uuid,
    until uuid,
    most integer,
    most_messages bigint,
    most_bytes bigint
)
returns table (conversation private.conversations, until_seq bigint, is_whole boolean)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_measured record;
    v_messages bigint := most_messages;
    v_bytes bigint := most_bytes;
begin
    for conversation in
        select c.*
        from private.conversations as c
        where c.user_id = measure_conversations.user_id
          and c.id > coalesce(after, '00000000-0000-0000-0000-000000000000')
          and c.id <= coalesce(measure_conversations.until, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by c.id
        limit most
    loop
        v_bytes := v_bytes - octet_length(conversation.metadata::text)
            - coalesce(octet_length(conversation.imported::text), 0) - conversation.last_branch * 80;
        v_measured := private.measure_messages(
            user_id, conversation.id, 0, least(conversation.last_seq, v_messages), v_bytes
        );
        v_messages := v_messages - v_measured.until;
        v_bytes := v_bytes - v_measured.bytes;
        exit when v_bytes < 0 and until_seq is not null;

        until_seq := v_measured.until;
        is_whole := until_seq >= conversation.last_seq;
        return next;
        exit when v_messages <= 0 or not is_whole;
    end loop;
end;
$$;

grant execute on function private.measure_conversations to authenticated, service_role;
comment on function private.measure_conversations is 'Which conversations come next by id, and how far the messages of each go, within so many messages and bytes: always one, however large, and only of the last is there more.';

-- metadata, parts and native as text: a number in them may have more digits than readers of JSON keep.
create function private.exported_page(
    user_id uuid,
    conversation private.conversations,
    after bigint,
    until bigint
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'conversation', to_jsonb(conversation) || jsonb_build_object(
            'metadata', conversation.metadata::text,
            'branches', (
                select coalesce(jsonb_agg(to_jsonb(fork) order by fork.branch), '[]')
                from (
                    select b.branch, b.parent, b.fork_seq, b.first_seq
                    from public.branches as b
                    where b.user_id = exported_page.user_id
                      and b.conversation_id = conversation.id
                      and conversation.last_branch > 0
                      and exported_page.after = 0
                ) as fork
            )
        ),
        'messages', (
            select coalesce(jsonb_agg(
                to_jsonb(m)
                || jsonb_build_object(
                    'metadata', m.metadata::text,
                    'parts', m.parts::text,
                    'native', m.native::text,
                    'turn', (
                        select to_jsonb(opened)
                        from (
                            select t.id, t.answers, t.status, t.attempt, t.idempotency_key,
                                   t.draft, t.draft_parts::text, t.error::text,
                                   t.started_at, t.finished_at, t.cancel_requested_at,
                                   (
                                       select r.id
                                       from public.messages as r
                                       where r.user_id = t.user_id and r.turn_id = t.id
                                         and r.role = 'assistant'
                                   ) as reply_message_id
                            from public.turns as t
                            where t.user_id = exported_page.user_id and t.id = m.turn_id
                              and (m.role = 'user' or t.answers is not null)
                        ) as opened
                    )
                )
                order by m.seq
            ), '[]')
            from public.messages as m
            where m.user_id = exported_page.user_id
              and m.conversation_id = conversation.id
              and m.seq > exported_page.after
              and m.seq <= exported_page.until
        )
    );
$$;

grant execute on function private.exported_page to authenticated, service_role;
comment on function private.exported_page is 'A conversation and its messages between two places, each with the turn that it opened; a reply that was made once more has its own. With the first of them come the branches.';

create function public.export_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint default 0,
    until bigint default null,
    page_size integer default 500,
    page_bytes integer default 1000000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_conversation private.conversations;
    v_most bigint;
    v_measured record;
begin
    perform private.require_self(user_id);
    v_conversation := private.find_conversation(user_id, conversation_id);
    v_most := least(
        coalesce(until, v_conversation.last_seq) - after, least(greatest(page_size, 1), 1000)
    );
    v_measured := private.measure_messages(user_id, conversation_id, after, v_most, page_bytes);
    return private.exported_page(user_id, v_conversation, after, v_measured.until);
end;
$$;

revoke all on function public.export_messages from public, anon, authenticated, service_role;
grant execute on function public.export_messages to authenticated, service_role;
comment on function public.export_messages is 'A conversation and its next messages after a seq, up to another, each with the turn that it opened; at most page_size rows and, beyond the first, page_bytes. Raises PT404.';

create function public.export_conversations(
    user_id uuid,
    after uuid default null,
    until uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 500;
    c_messages constant bigint := 1000;
    c_bytes constant bigint := 1000000;
begin
    perform private.require_self(export_conversations.user_id);

    return jsonb_build_object('conversations', (
        select coalesce(jsonb_agg(
            private.exported_page(
                export_conversations.user_id, chosen.conversation, 0, chosen.until_seq
            )
            order by (chosen.conversation).id
        ), '[]')
        from private.measure_conversations(
            export_conversations.user_id, after, export_conversations.until,
            c_conversations, c_messages, c_bytes
        ) as chosen
    ));
end;
$$;

revoke all on function public.export_conversations from public, anon, authenticated, service_role;
grant execute on function public.export_conversations to authenticated, service_role;
comment on function public.export_conversations is 'The next of a user''s conversations by id, archived ones too, each with its messages: {conversations: [{conversation, messages}]}. At most 1,000 messages and, beyond the first, a megabyte; the last conversation may lack some, which export_messages has.';

create function public.plan_export(
    user_id uuid,
    after uuid default null,
    most_bytes bigint default 30000000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 5000;
    c_messages constant bigint := 50000;
    v_until uuid;
begin
    perform private.require_self(plan_export.user_id);

    select (chosen.conversation).id into v_until
    from private.measure_conversations(
        plan_export.user_id, after, null, c_conversations, c_messages, most_bytes
    ) with ordinality as chosen (conversation, until_seq, is_whole, nth)
    where chosen.is_whole or chosen.nth = 1
    order by chosen.nth desc
    limit 1;

    return jsonb_build_object(
        'until', v_until,
        'more', exists (
            select 1
            from private.conversations as c
            where c.user_id = plan_export.user_id
              and c.id > v_until
        )
    );
end;
$$;

revoke all on function public.plan_export from public, anon, authenticated, service_role;
grant execute on function public.plan_export to authenticated, service_role;
comment on function public.plan_export is 'How far a part of an account''s export goes, by the ids of conversations: {until, more}. Always one conversation, however large, and further ones within so many bytes and messages.';

-- A conversation of a file, as take_import_part takes it: piece by piece, {place, first, is_last,
-- conversation, messages}. `first` is the seq of a piece's first message in the file's conversation; what
-- fits in one part is one piece. A conversation that isn't here is made, and filled; one that is here
-- gets what its file has more by now.

create function private.take_piece(user_id uuid, import_id uuid, piece jsonb)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_header constant jsonb := piece -> 'conversation';
    v_imported constant jsonb := v_header -> 'imported';
    v_first constant bigint := (piece ->> 'first')::bigint;
    v_key constant bytea := decode(v_header ->> 'key_hash', 'hex');
    v_outcome constant jsonb := jsonb_build_object(
        'place', piece -> 'place', 'id', null, 'is_taken', false, 'known_id', null, 'is_same', true,
        'appended', 0, 'changed', 0, 'matched', 0
    );
    v_here public.conversations;
    v_is_known boolean;
begin
    select c.* into v_here
    from public.conversations as c
    where c.user_id = take_piece.user_id
      and c.imported ->> 'source' = v_imported ->> 'source'
      and c.imported ->> 'id' = v_imported ->> 'id'
    for update;

    -- A hidden one is this, begun with an earlier piece. Else it makes way: another import has left
    -- it unfinished, or it is being deleted.
    if v_here.deleting_since is not null
        and (
            v_first = 1
            or v_here.imported ->> 'import' <> import_id::text
            or v_here.deleting_since <= now()
        )
    then
        update public.conversations as c
        set imported = c.imported - 'id',
            deleting_since = '-infinity'
        where c.user_id = take_piece.user_id and c.id = v_here.id;
        v_here := null;
    end if;

    if v_here.id is null then
        select c.* into v_here
        from public.conversations as c
        where c.user_id = take_piece.user_id
          and c.id = (v_imported ->> 'conversationId')::uuid
          and c.deleting_since is null
          and c.last_seq >= (v_header ->> 'last_seq')::bigint;
    end if;
    v_is_known := v_here.id is not null and v_here.deleting_since is null;

    if v_here.id is null then
        if exists (
            select 1
            from private.import_keys as k
            where k.user_id = take_piece.user_id and k.key_hash = v_key
        ) then
            return v_outcome; -- it came under the same key before, and was deleted since
        end if;

        v_here := private.begin_imported(user_id, import_id, piece);
        if v_here.id is null then -- somebody else was faster
            return private.take_piece(user_id, import_id, piece);
        end if;
    end if;

    -- With the last piece: one that was never whole may come again.
    insert into private.import_keys (user_id, key_hash)
    select take_piece.user_id, v_key
    where v_key is not null and (piece ->> 'is_last')::boolean
    on conflict do nothing;

    if not v_is_known then
        perform private.add_imported(user_id, piece, v_here);
        return v_outcome || jsonb_build_object('id', v_here.id, 'is_taken', true);
    end if;

    -- One that is known by its content or a key doesn't grow: what has is another one.
    return v_outcome
        || case when v_imported ? 'checksum' then '{}'
                else private.append_grown(user_id, import_id, piece, v_here) end
        || jsonb_build_object(
            'known_id', v_here.id,
            'is_same', v_here.imported ->> 'checksum' is not distinct from v_imported ->> 'checksum'
        );
end;
$$;

comment on function private.take_piece is 'Takes a piece of a conversation, or compares it with the one that is here already: {place, id, is_taken, known_id, is_same, appended, changed, matched}.';

create function private.begin_imported(user_id uuid, import_id uuid, piece jsonb)
returns public.conversations
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_header constant jsonb := piece -> 'conversation';
    v_conversation public.conversations;
begin
    if (piece ->> 'first')::bigint > 1 then
        raise exception 'What was imported of the file so far has been removed meanwhile; nothing more is taken.'
            using errcode = 'PT409', detail = 'import_incomplete';
    end if;

    insert into public.conversations
        (user_id, project_id, title, metadata, created_at, updated_at, archived_at, imported,
         active_branch, last_branch)
    values (
        begin_imported.user_id,
        (v_header ->> 'project_id')::uuid,
        v_header ->> 'title',
        (v_header ->> 'metadata')::jsonb,
        (v_header ->> 'created_at')::timestamptz,
        (v_header ->> 'updated_at')::timestamptz,
        (v_header ->> 'archived_at')::timestamptz,
        v_header -> 'imported' || jsonb_build_object('import', begin_imported.import_id),
        coalesce((v_header ->> 'active_branch')::integer, 0),
        coalesce(jsonb_array_length(v_header -> 'branches'), 0)
    )
    on conflict do nothing
    returning * into v_conversation;

    insert into public.branches (user_id, conversation_id, branch, parent, fork_seq, first_seq)
    select begin_imported.user_id, v_conversation.id, b.branch, b.parent, b.fork_seq, b.first_seq
    from jsonb_to_recordset(coalesce(v_header -> 'branches', '[]'))
        as b (branch integer, parent integer, fork_seq bigint, first_seq bigint)
    where v_conversation.id is not null;
    return v_conversation;
end;
$$;

comment on function private.begin_imported is 'Makes the conversation that a first piece is of, without its messages; nothing where there is one by now. Raises PT409 for a later piece.';

create function private.insert_imported(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    messages jsonb
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into public.messages
        (conversation_id, user_id, seq, role, content, generated_code, metadata, parts, native,
         created_at, branch)
    select insert_imported.conversation_id,
           insert_imported.user_id,
           insert_imported.after + place,
           case message ->> 'role' when 'assistant' then 'assistant' else 'user' end,
           message ->> 'content',
           message ->> 'generated_code',
           (message ->> 'metadata')::jsonb,
           coalesce((message ->> 'parts')::jsonb, '[]'),
           (message ->> 'native')::jsonb,
           (message ->> 'created_at')::timestamptz,
           private.branch_at(
               insert_imported.user_id, insert_imported.conversation_id,
               insert_imported.after + place
           )
    from jsonb_array_elements(insert_imported.messages) with ordinality as m (message, place)
    order by place;
end;
$$;

comment on function private.insert_imported is 'Writes messages behind a seq, each on the branch that begins at or before its place.';

-- Until its last piece the conversation is hidden, and on its way to be deleted an hour from now.
create function private.add_imported(
    user_id uuid,
    piece jsonb,
    conversation public.conversations
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_is_last constant boolean := (piece ->> 'is_last')::boolean;
    v_header constant jsonb := piece -> 'conversation';
    v_before constant bigint := (piece ->> 'first')::bigint - 1;
    v_last constant bigint := v_before + jsonb_array_length(piece -> 'messages');
    v_hidden_until constant timestamptz := now() + interval '1 hour';
begin
    perform private.insert_imported(user_id, conversation.id, v_before, piece -> 'messages');

    -- What the doctor checks: no gap, times that grow with the places, branches that are a tree.
    if conversation.last_seq <> v_before
        or exists (
            select 1
            from (
                select m.created_at <= lag(m.created_at) over (order by m.seq) as is_early
                from public.messages as m
                where m.user_id = add_imported.user_id
                  and m.conversation_id = conversation.id
                  and m.seq >= v_before
            ) as o
            where o.is_early
        )
        or c_is_last and (
            v_last <> (v_header ->> 'last_seq')::bigint
            or not conversation.active_branch between 0 and conversation.last_branch
            or private.count_branches(user_id, conversation.id, v_last)
                is distinct from conversation.last_branch
        )
    then
        raise exception 'The file can''t be imported; nothing was: its messages have no right order.'
            using errcode = 'PT400', detail = 'invalid_import';
    end if;

    update public.conversations as c
    set last_seq = v_last,
        updated_at = greatest(
            (v_header ->> 'updated_at')::timestamptz,
            (piece -> 'messages' -> -1 ->> 'created_at')::timestamptz
        ),
        imported = c.imported || jsonb_build_object('at', now(), 'lastSeq', v_last),
        deleting_since = case when not c_is_last then v_hidden_until end
    where c.user_id = add_imported.user_id and c.id = conversation.id;
end;
$$;

comment on function private.add_imported is 'Adds the messages of a piece to the conversation that it is of. Raises PT400 where that breaks what the doctor checks.';

-- What comes of a file whose conversation an earlier import has brought: as a provider's export of each
-- month, which has all of it again.

-- A message is known by the id that it has where it is from, and so is the one that it follows
-- (`after`; '' for none). What follows another message than the last one here begins a branch, as it
-- would have if it had been written here: the two are never one conversation. What says something else
-- now, or is no more in the file, has changed.
create function private.append_grown(
    user_id uuid,
    import_id uuid,
    piece jsonb,
    conversation public.conversations
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_seqs jsonb; -- of messages here, by their ids
    v_newest_at timestamptz;
    v_new jsonb;
    v_matched integer;
    v_changed integer;
begin
    select coalesce(jsonb_object_agg(m.metadata -> 'imported' ->> 'id', m.seq) filter (
               where m.metadata -> 'imported' ->> 'id' is not null
           ), '{}'),
           max(m.created_at)
    into v_seqs, v_newest_at
    from public.messages as m
    where m.user_id = append_grown.user_id
      and m.conversation_id = append_grown.conversation.id;

    with staged as (
        select distinct on (key) key, place, message
        from (
            select (m.message ->> 'metadata')::jsonb -> 'imported' ->> 'id' as key,
                   m.place, m.message
            from jsonb_array_elements(piece -> 'messages') with ordinality as m (message, place)
        ) as keyed
        where key is not null
        order by key, place
    ),
    new as (
        select s.place,
               s.message || jsonb_build_object('key', s.key, 'created_at', greatest(
                   v_newest_at,
                   max((s.message ->> 'created_at')::timestamptz - s.place * interval '1 microsecond')
                       over (order by s.place)
               ) + s.place * interval '1 microsecond') as message
        from staged as s
        where not v_seqs ? s.key
    )
    select (select coalesce(jsonb_agg(n.message order by n.place), '[]') from new as n),
           count(m.id),
           count(m.id) filter (where m.content <> s.message ->> 'content')
    into v_new, v_matched, v_changed
    from staged as s
    left join public.messages as m
        on m.user_id = append_grown.user_id
        and m.conversation_id = append_grown.conversation.id
        and m.seq = (v_seqs ->> s.key)::bigint;

    if v_new <> '[]' then
        perform private.append_imported(user_id, piece, conversation, v_seqs, v_new);
    end if;

    -- With the last piece shows what the file has no more: all that was here but what was matched.
    if (piece ->> 'is_last')::boolean then
        v_changed := v_changed + (select count(*) from jsonb_object_keys(v_seqs)) - v_matched - coalesce((
            select sum((one ->> 'matched')::integer + (one ->> 'appended')::integer)
            from private.import_parts as p
            cross join lateral jsonb_array_elements(p.outcome) as o (one)
            where p.user_id = append_grown.user_id
              and p.import_id = append_grown.import_id
              and one -> 'place' = piece -> 'place'
        ), 0);
    end if;

    return jsonb_build_object(
        'appended', jsonb_array_length(v_new),
        'changed', greatest(v_changed, 0),
        'matched', v_matched
    );
end;
$$;

comment on function private.append_grown is 'Appends to a conversation that is here what a piece of its file has more by now: {appended, changed, matched}.';

-- Which path is active follows the file where nobody has written here; else only where the active path
-- is what goes on.
create function private.append_imported(
    user_id uuid,
    piece jsonb,
    conversation public.conversations,
    seqs jsonb,
    messages jsonb
)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_last constant bigint := conversation.last_seq;
    -- A turn that makes a reply once more has begun a branch, and writes to it later.
    v_is_awaited constant boolean := private.branch_at(user_id, conversation.id, v_last)
        < conversation.last_branch;
    v_is_imports_alone constant boolean := (conversation.imported ->> 'lastSeq')::bigint = v_last;
    v_seqs jsonb := seqs;
    v_active integer := conversation.active_branch;
    v_is_followed boolean;
    v_branch integer;
    v_start record;
begin
    select v_seqs || jsonb_object_agg(message ->> 'key', v_last + place) into v_seqs
    from jsonb_array_elements(messages) with ordinality as m (message, place);

    update public.conversations as c
    set last_seq = v_last + jsonb_array_length(messages),
        updated_at = greatest(c.updated_at, (messages -> -1 ->> 'created_at')::timestamptz),
        imported = c.imported || jsonb_strip_nulls(jsonb_build_object(
            'at', now(),
            'lastSeq', case when v_is_imports_alone then v_last + jsonb_array_length(messages) end
        ))
    where c.user_id = append_imported.user_id and c.id = append_imported.conversation.id;

    for v_start in
        select f.seq, f.fork_seq
        from (
            select v_last + m.place as seq,
                   least(
                       case m.message ->> 'after' when '' then 0
                           else (v_seqs ->> (m.message ->> 'after'))::bigint end,
                       v_last + m.place - 1
                   ) as fork_seq
            from jsonb_array_elements(messages) with ordinality as m (message, place)
        ) as f
        where f.fork_seq <> f.seq - 1
           or (f.fork_seq = v_last and v_is_awaited)
        order by f.seq
    loop
        v_is_followed := not v_is_awaited
            and private.branch_at(user_id, conversation.id, v_start.fork_seq) = v_active
            and private.branch_at(user_id, conversation.id, v_start.fork_seq + 1) <> v_active;
        v_branch := private.begin_branch(
            user_id, conversation.id,
            private.branch_at(user_id, conversation.id, v_start.fork_seq),
            v_start.fork_seq, v_start.seq
        );
        v_active := case when v_is_followed then v_branch else v_active end;
    end loop;

    perform private.insert_imported(user_id, conversation.id, v_last, messages);

    if v_is_imports_alone and not v_is_awaited and v_seqs ? (piece -> 'conversation' ->> 'leaf') then
        v_active := private.branch_at(
            user_id, conversation.id, (v_seqs ->> (piece -> 'conversation' ->> 'leaf'))::bigint
        );
    end if;
    update public.conversations as c
    set active_branch = v_active
    where c.user_id = append_imported.user_id and c.id = append_imported.conversation.id
      and c.active_branch <> v_active;
end;
$$;

comment on function private.append_imported is 'Writes messages that a file has more behind those that are here, each on the path that it is on in the file; seqs has those of the messages here, by their ids.';

-- Imports: a file is taken in parts, each by one call that takes some seconds at most and can be
-- repeated: what came of a part is written down with it. A conversation is there whole or not at
-- all: one that needs several parts is hidden until its last one. What was imported, from where and
-- when stands in conversations.imported, which nobody else writes: an imported reply can't be passed
-- off as one of ours.

create table private.import_parts (
    user_id uuid not null,
    import_id uuid not null,
    part integer not null,
    outcome jsonb, -- null while it is being taken
    is_over boolean not null default false, -- the last part; the same file is another import then
    taken_at timestamptz not null default now(),

    constraint import_parts_pkey primary key (user_id, import_id, part),
    constraint import_parts_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint import_parts_outcome_array check (jsonb_typeof(outcome) = 'array')
);

alter table private.import_parts enable row level security;

-- Written out, so that it isn't taken for one that was forgotten.
create policy withheld on private.import_parts for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: insert, update; take_import_part,
-- which runs as its owner, alone writes them.
revoke all on table private.import_parts from public, anon, authenticated, service_role;
grant select, delete on table private.import_parts to service_role;

comment on table private.import_parts is 'What came of the parts of files that are being imported: ids and counts, nothing of their content; gone an hour after the last of them. No policy for select, insert, update, delete: take_import_part alone writes them.';

-- Under which idempotency keys something was imported: a request that is sent again after its
-- conversations were deleted brings none of them back.
create table private.import_keys (
    user_id uuid not null,
    key_hash bytea not null,

    constraint import_keys_pkey primary key (user_id, key_hash),
    constraint import_keys_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

alter table private.import_keys enable row level security;

create policy withheld on private.import_keys for select to authenticated using (false);

-- Withheld: everything, from everybody.
revoke all on table private.import_keys from public, anon, authenticated, service_role;

comment on table private.import_keys is 'What was imported under a key, for as long as the account exists. No policy for select, insert, update, delete: take_import_part alone uses it.';
comment on column private.import_keys.key_hash is 'SHA-256 of a key and of what one conversation is known by where it is from.';

-- Runs as its owner, because nobody else may write last_seq, created_at, updated_at or imported.
-- Only the role of a user or an assistant is ever stored: a system row would have a say in what the
-- AI does. Where a file had other ones, imported.system and imported.summaries name their places.
create function public.take_import_part(
    user_id uuid,
    import_id uuid,
    part integer,
    pieces jsonb default null,
    is_over boolean default false
)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_outcome jsonb;
begin
    if part = 0 then
        delete from private.import_parts as p -- of the same file, which was all taken: another import
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and exists (
              select 1
              from private.import_parts as o
              where o.user_id = take_import_part.user_id
                and o.import_id = take_import_part.import_id
                and o.is_over
          );
    end if;

    if pieces is not null then
        -- Calls of one import queue at its first part, and behind them whoever erases the account.
        insert into private.import_parts (user_id, import_id, part)
        values (take_import_part.user_id, take_import_part.import_id, take_import_part.part)
        on conflict on constraint import_parts_pkey do nothing;

        perform 1
        from private.import_parts as p
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and p.part = 0
        for update;
    end if;

    -- What came of it before, if all that it took is still there.
    select p.outcome into v_outcome
    from private.import_parts as p
    where p.user_id = take_import_part.user_id
      and p.import_id = take_import_part.import_id
      and p.part = take_import_part.part
      and not exists (
          select 1
          from jsonb_array_elements(p.outcome) as o (one)
          where (one ->> 'is_taken')::boolean
            and not exists (
                select 1
                from public.conversations as c
                where c.user_id = take_import_part.user_id
                  and c.id = (one ->> 'id')::uuid
            )
      );

    if v_outcome is not null or pieces is null then
        return jsonb_build_object('outcome', v_outcome);
    end if;

    -- An erasure removes the parts, and what follows of the file is not taken any more.
    if (
        select count(*)
        from private.import_parts as p
        where p.user_id = take_import_part.user_id
          and p.import_id = take_import_part.import_id
          and p.part < take_import_part.part
    ) < part then
        raise exception 'What was imported of the file so far has been removed meanwhile; nothing more is taken.'
            using errcode = 'PT409', detail = 'import_incomplete';
    end if;

    -- In the order in which whoever locks several takes them; then those that are new, by their names.
    perform 1
    from private.conversations as c
    where c.user_id = take_import_part.user_id
      and (c.imported ->> 'source', c.imported ->> 'id') in (
          select piece #>> '{conversation,imported,source}', piece #>> '{conversation,imported,id}'
          from jsonb_array_elements(pieces) as p (piece)
      )
    order by c.id
    for update;

    perform set_config('message_persistence.is_importing', 'yes', true);
    select coalesce(jsonb_agg(
        private.take_piece(take_import_part.user_id, take_import_part.import_id, ordered.piece)
    ), '[]')
    into v_outcome
    from (
        select p.piece
        from jsonb_array_elements(pieces) with ordinality as p (piece, place)
        order by p.piece #>> '{conversation,imported,source}',
                 p.piece #>> '{conversation,imported,id}', p.place
    ) as ordered;
    perform set_config('message_persistence.is_importing', '', true);
    perform private.count_bytes(user_id, octet_length(pieces::text)); -- last, as whoever holds a conversation does

    update private.import_parts as p
    set outcome = v_outcome,
        is_over = take_import_part.is_over,
        taken_at = clock_timestamp()
    where p.user_id = take_import_part.user_id
      and p.import_id = take_import_part.import_id
      and p.part = take_import_part.part;
    return jsonb_build_object('outcome', v_outcome);
end;
$$;

revoke all on function public.take_import_part from public, anon, authenticated, service_role;
grant execute on function public.take_import_part to service_role;
comment on function public.take_import_part is 'Takes a part of a file, after those before it: {outcome: [{place, id, is_taken, known_id, is_same, appended, changed}]}, one for each piece of a conversation. Taking it again does nothing and answers the same; without pieces it only says what came of it, null for nothing yet. Raises PT400, PT409.';

-- Runs as its owner, because the service may not say since when a conversation is to be removed.
create function private.end_imports(user_id uuid)
returns bigint
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    v_count bigint;
begin
    delete from private.import_parts as p
    where p.user_id = end_imports.user_id;
    get diagnostics v_count = row_count;

    update public.conversations as c
    set deleting_since = '-infinity'
    where c.user_id = end_imports.user_id
      and c.deleting_since > '-infinity';
    return v_count;
end;
$$;

grant execute on function private.end_imports to service_role;
comment on function private.end_imports is 'Ends what a user is importing, and returns how many parts were noted: what is hidden of it is to be removed at once.';

-- What a user may write in a day, over the functions and over the Data API alike: so the number stands
-- here, where both end, and not with who calls. It is off unless the bundle was started with one.

create table private.limits (
    id boolean not null default true,
    bytes_per_day bigint,

    constraint limits_pkey primary key (id),
    constraint limits_one_row check (id),
    constraint limits_bytes_per_day_positive check (bytes_per_day > 0)
);

alter table private.limits enable row level security;

create policy withheld on private.limits for select to authenticated using (false);

-- Withheld from clients: everything. Withheld from the service: delete.
revoke all on table private.limits from public, anon, authenticated, service_role;
grant select, insert, update on table private.limits to service_role;

comment on table private.limits is 'One row, of what holds for each user over every API; none, or null in it, is no limit. No policy for select, insert, update, delete: set_limits alone writes it.';

create function public.set_limits(bytes_per_day bigint default null)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_bytes_per_day constant bigint := nullif(set_limits.bytes_per_day, 0);
begin
    -- Each process says it when it starts, and seldom says anything new.
    if (select l.bytes_per_day from private.limits as l) is distinct from v_bytes_per_day then
        insert into private.limits (bytes_per_day)
        values (v_bytes_per_day)
        on conflict (id) do update set bytes_per_day = excluded.bytes_per_day;
    end if;

    return jsonb_build_object('bytes_per_day', v_bytes_per_day);
end;
$$;

revoke all on function public.set_limits from public, anon, authenticated, service_role;
grant execute on function public.set_limits to service_role;
comment on function public.set_limits is 'Sets how many bytes each user may write in a day; null or 0 is any number. Answers {bytes_per_day}.';

-- A bucket that leaks evenly, empty after a day: one row a user, however much they write.
create table private.bytes_written (
    user_id uuid not null,
    bytes double precision not null,
    counted_at timestamptz not null,

    constraint bytes_written_pkey primary key (user_id),
    constraint bytes_written_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

alter table private.bytes_written enable row level security;

create policy withheld on private.bytes_written for select to authenticated using (false);

-- Withheld: everything, from everybody.
revoke all on table private.bytes_written from public, anon, authenticated, service_role;

comment on table private.bytes_written is 'How much each user has written lately, where that is limited; who counts a user''s turns locks the row. No policy for select, insert, update, delete: count_bytes and require_turns_left alone use it.';
comment on column private.bytes_written.bytes is 'As of counted_at; a day''s limit fewer with each day since.';

create function private.count_bytes(user_id uuid, size bigint)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_day constant double precision := 86400;
    v_bytes_per_day constant bigint := (select l.bytes_per_day from private.limits as l);
    v_now constant timestamptz := clock_timestamp();
    v_bytes double precision;
begin
    if v_bytes_per_day is null then
        return;
    end if;

    insert into private.bytes_written as w (user_id, bytes, counted_at)
    values (count_bytes.user_id, count_bytes.size, v_now)
    on conflict (user_id) do update
        set bytes = excluded.bytes + greatest(
                0,
                w.bytes
                - greatest(0, extract(epoch from v_now - w.counted_at)::double precision)
                * v_bytes_per_day / c_day
            ),
            counted_at = v_now
    returning w.bytes into v_bytes;

    if v_bytes > v_bytes_per_day then
        raise exception 'Too many bytes written this day. Try again in % seconds.',
            ceil(least(c_day, (v_bytes - v_bytes_per_day) * c_day / v_bytes_per_day))
            using errcode = 'PT429', detail = 'too_many_bytes';
    end if;
end;
$$;

comment on function private.count_bytes is 'Counts what a user writes, where that is limited. Raises PT429 where it is more than a day allows; then nothing is counted.';

-- Runs as its owner, because nobody may write what limits count. What the AI writes isn't the user's:
-- turns and tokens limit that. Messages are counted where they get their places.
create function private.count_conversation_bytes()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform private.count_bytes(
        new.user_id, octet_length(new.title) + octet_length(new.metadata::text)
    );
    return new;
end;
$$;

comment on function private.count_conversation_bytes is 'Counts a title and metadata towards what their user may write in a day.';

create trigger conversations_count_bytes
    before insert or update of title, metadata on public.conversations
    for each row
    when (current_user = 'authenticated')
    execute function private.count_conversation_bytes();

-- What a user's turns came to, in exact figures: how many, how long, at what cost, and how well
-- they were kept. idx_turns_user_id (user_id, started_at) finds the turns of a time.

create function private.turn_figures(
    user_id uuid,
    starts_at timestamptz,
    ends_at timestamptz,
    bounds timestamptz[],
    project_id uuid,
    prices jsonb
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
-- Compiling so long a query takes longer than running it.
set jit = off
as $$
#variable_conflict use_column
declare
    v_figures jsonb;
begin
    with turned as (
        select
            width_bucket(t.started_at, bounds) as place,
            t.status,
            t.error,
            t.attempt,
            t.replays,
            -- An interrupted turn ends when somebody finds it: that says nothing of how long it took.
            case when t.status in ('completed', 'failed', 'cancelled')
                then extract(epoch from t.finished_at - t.started_at)
            end as duration,
            jsonb_path_query_first(
                r.metadata, '$.persistedAfter ? (@.type() == "number")'
            )::numeric as persisted_after,
            jsonb_path_query_first(
                r.metadata, '$.filesGenerated ? (@.type() == "number")'
            )::numeric as files,
            jsonb_path_query_first(
                r.metadata, '$.usage.input_tokens ? (@.type() == "number")'
            )::numeric as input_tokens,
            jsonb_path_query_first(
                r.metadata, '$.usage.output_tokens ? (@.type() == "number")'
            )::numeric as output_tokens,
            r.metadata ->> 'engine' as model,
            r.metadata
        from public.turns as t
        left join public.messages as r
            on r.user_id = t.user_id and r.turn_id = t.id
            and r.role = 'assistant'
        where t.user_id = turn_figures.user_id
          and t.started_at >= turn_figures.starts_at
          and t.started_at < turn_figures.ends_at
          and t.conversation_id <> all (
              (select private.being_deleted(turn_figures.user_id))::uuid[]
          )
          and (
              turn_figures.project_id is null
              or exists (
                  select 1
                  from private.conversations as c
                  where c.user_id = t.user_id and c.id = t.conversation_id
                    and c.project_id = turn_figures.project_id
              )
          )
    ),
    facts as materialized (
        select
            turned.*,
            coalesce(input_tokens, output_tokens) is not null as has_usage,
            0.000001 * (
                coalesce(input_tokens, 0) * (prices -> model ->> 'input')::numeric
                + coalesce(output_tokens, 0) * (prices -> model ->> 'output')::numeric
            ) as cost
        from turned
    ),
    -- Once for each bucket, and once for all of them: there place is null.
    figures as (
        select
            bucket.place,
            jsonb_build_object(
                'turns', count(f.status),
                'running', count(*) filter (where f.status = 'running'),
                'completed', count(*) filter (where f.status = 'completed'),
                'failed', count(*) filter (where f.status = 'failed'),
                'cancelled', count(*) filter (where f.status = 'cancelled'),
                'interrupted', count(*) filter (where f.status = 'interrupted'),
                'success_rate', round(
                    avg((f.status = 'completed')::integer) filter (
                        where f.status in ('completed', 'failed', 'interrupted')
                    ), 4
                ),
                'duration', jsonb_build_object(
                    'measured', count(f.duration),
                    'median', round((percentile_cont(0.5) within group (order by f.duration))::numeric, 3),
                    'p95', round((percentile_cont(0.95) within group (order by f.duration))::numeric, 3)
                ),
                'files_generated', coalesce(sum(f.files), 0),
                'usage', jsonb_build_object(
                    'turns', count(*) filter (where f.has_usage),
                    'input_tokens', coalesce(sum(f.input_tokens), 0),
                    'output_tokens', coalesce(sum(f.output_tokens), 0),
                    'cost', case
                        when bool_or(f.has_usage and f.cost is null) then null
                        else trim_scale(coalesce(sum(f.cost) filter (where f.has_usage), 0))
                    end
                ),
                'persistence', jsonb_build_object(
                    'replays_deduplicated', coalesce(sum(f.replays), 0),
                    'recovered', count(*) filter (where f.status = 'completed' and f.attempt > 1),
                    'time_to_first_persist', jsonb_build_object(
                        'measured', count(f.persisted_after),
                        'median', round((percentile_cont(0.5) within group (order by f.persisted_after))::numeric, 4),
                        'p95', round((percentile_cont(0.95) within group (order by f.persisted_after))::numeric, 4)
                    )
                )
            ) as figures
        from generate_series(1, cardinality(bounds) - 1) as bucket (place)
        left join facts as f on f.place = bucket.place
        group by grouping sets ((bucket.place), ())
    ),
    ranked as (
        select
            named.kind,
            jsonb_build_object('name', named.name, 'turns', count(*)) as entry,
            row_number() over (partition by named.kind order by count(*) desc, named.name) as rank
        from facts
        cross join lateral (
            values ('intents', metadata ->> 'intent'),
                   ('complexities', metadata ->> 'complexity'),
                   ('strategies', metadata ->> 'strategy')
        ) as named (kind, name)
        where named.name is not null
        group by named.kind, named.name
    ),
    models as (
        select
            model,
            jsonb_build_object(
                'name', model,
                'turns', count(*),
                'input_tokens', coalesce(sum(input_tokens), 0),
                'output_tokens', coalesce(sum(output_tokens), 0),
                'cost', trim_scale(sum(cost))
            ) as entry
        from facts
        where has_usage
        group by model
    )
    select into v_figures jsonb_build_object(
        'totals', (select f.figures from figures as f where f.place is null),
        'buckets', (
            select jsonb_agg(
                jsonb_build_object('start', bounds[f.place], 'end', bounds[f.place + 1]) || f.figures
                order by f.place
            )
            from figures as f
            where f.place is not null
        ),
        'models', (select coalesce(jsonb_agg(entry order by model), '[]') from models),
        'failures', (
            select coalesce(jsonb_object_agg(e.reason, e.turns), '{}')
            from (
                select coalesce(error ->> 'type', status) as reason, count(*) as turns
                from facts
                where status in ('failed', 'interrupted')
                group by 1
            ) as e
        )
    ) || (
        select jsonb_object_agg(kind, (
            select coalesce(jsonb_agg(r.entry order by r.rank), '[]')
            from ranked as r
            where r.kind = listed.kind and r.rank <= 20
        ))
        from unnest(array['intents', 'complexities', 'strategies']) as listed (kind)
    );

    return v_figures;
end;
$$;

grant execute on function private.turn_figures to authenticated, service_role;
comment on function private.turn_figures is 'Figures of a user''s turns begun in a range, in all and for each bucket that the bounds make, with the failures by reason. Turns of deleted conversations are in none.';

create function public.conversation_analytics(
    user_id uuid,
    starts_at timestamptz,
    ends_at timestamptz,
    bounds jsonb,
    project_id uuid default null,
    prices jsonb default '{}'
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
    perform private.require_self(user_id);

    return private.turn_figures(
        user_id, starts_at, ends_at,
        array(select b::timestamptz from jsonb_array_elements_text(bounds) as b), project_id, prices
    ) - 'failures';
end;
$$;

revoke all on function public.conversation_analytics from public, anon, authenticated, service_role;
grant execute on function public.conversation_analytics to authenticated, service_role;
comment on function public.conversation_analytics is 'Figures of a user''s turns begun in a range, in all and for each bucket between two bounds, which grow from the start or before it to the end or behind it. Durations are in seconds; a cost is null where a model that was used has no price (per million tokens, by the name of the engine). Raises PT403.';

-- What everybody's turns came to and what is stored of each user: a listing over users, a page at a
-- time, for whoever runs the project.

create function public.project_usage(
    starts_at timestamptz,
    ends_at timestamptz,
    after_user_id uuid default null,
    most integer default 100,
    prices jsonb default '{}'
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    c_work constant interval := '2 seconds';
    v_until constant timestamptz := clock_timestamp() + c_work;
    v_user_id uuid := after_user_id;
    v_figures jsonb;
    v_users jsonb[] := '{}';
begin
    loop
        -- One step in the index for each user, however many conversations each has.
        select c.user_id into v_user_id
        from private.conversations as c
        where v_user_id is null or c.user_id > v_user_id
        order by c.user_id
        limit 1;

        exit when v_user_id is null
            or cardinality(v_users) >= most
            or clock_timestamp() > v_until and cardinality(v_users) > 0;

        v_figures := private.turn_figures(
            v_user_id, starts_at, ends_at, array[starts_at, ends_at], null, prices
        );
        v_users := v_users || (
            select jsonb_build_object(
                'user_id', v_user_id,
                'turns', v_figures -> 'totals' -> 'turns',
                'completed', v_figures -> 'totals' -> 'completed',
                'failures', v_figures -> 'failures',
                'conversations', (
                    select count(*)
                    from private.conversations as c
                    where c.user_id = v_user_id
                ),
                'messages', count(*),
                -- As they lie on disk, compressed: no text is read for it.
                'bytes', coalesce(sum(
                    pg_column_size(m.content) + pg_column_size(m.metadata)
                    + coalesce(pg_column_size(m.generated_code), 0)
                ), 0)
            ) || (v_figures -> 'totals' -> 'usage') - 'turns'
            from public.messages as m
            where m.user_id = v_user_id
        );
    end loop;

    return jsonb_build_object('users', to_jsonb(v_users), 'more', v_user_id is not null);
end;
$$;

revoke all on function public.project_usage from public, anon, authenticated, service_role;
grant execute on function public.project_usage to service_role;
comment on function public.project_usage is 'A page of the project''s users in the order of their ids, each with figures of their turns begun in a range, and what is stored of them now: a listing. A step ends after two seconds of work; more says that users are left behind the last one.';

-- Legal holds: what is held is removed by nobody until the hold is released.

create table private.legal_holds (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    conversation_id uuid,
    reason text not null,
    placed_at timestamptz not null default now(),
    released_at timestamptz,

    constraint legal_holds_pkey primary key (id),
    constraint legal_holds_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint legal_holds_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade,
    constraint legal_holds_reason_length check (char_length(reason) between 1 and 500)
);

create index idx_legal_holds_user_id_conversation_id
    on private.legal_holds (user_id, conversation_id);

alter table private.legal_holds enable row level security;

create policy withheld on private.legal_holds for select to authenticated using (false);

-- Withheld: everything from clients, and from the service all but placing and releasing.
revoke all on table private.legal_holds from public, anon, authenticated, service_role;
grant select on table private.legal_holds to service_role;
grant insert (user_id, conversation_id, reason) on table private.legal_holds to service_role;
grant update (released_at) on table private.legal_holds to service_role;

comment on table private.legal_holds is 'What must not be removed: a conversation, or with a null conversation_id all of a user''s. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.legal_holds.released_at is 'Until then nothing of what is held can be deleted, by anybody.';

create function private.is_held(user_id uuid, conversation_id uuid)
returns boolean
language sql stable security invoker set search_path = ''
as $$
    select exists (
        select 1
        from private.legal_holds as h
        where h.user_id = is_held.user_id
          and (h.conversation_id is null or h.conversation_id = is_held.conversation_id)
          and h.released_at is null
    );
$$;

grant execute on function private.is_held to service_role;
comment on function private.is_held is 'Whether a legal hold keeps a conversation of this user''s.';

-- Runs as its owner, because whoever deletes may not see the holds. It is the one place that all
-- deletions pass: the owner's, the service's, retention, erasure, and that of the account, which
-- deletes its holds too: whichever goes first, one in force refuses. A conversation's row is locked by
-- then, and placing a hold waits for that lock.
create function private.refuse_held_removal()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_table_name = 'legal_holds' or private.is_held(old.user_id, old.id) then
        raise exception 'A legal hold %.', tg_argv[0]
            using errcode = 'PT409', detail = 'legal_hold';
    end if;
    return old;
end;
$$;

comment on function private.refuse_held_removal is 'Raises PT409 where a hold that was not released, or a conversation that one keeps, is to be deleted.';

create trigger conversations_refuse_held_removal
    before delete on public.conversations
    for each row
    when (old.deleting_since is null)
    execute function private.refuse_held_removal('keeps this conversation');

create trigger legal_holds_refuse_held_removal
    before delete on private.legal_holds
    for each row
    when (old.released_at is null)
    execute function private.refuse_held_removal('is in force');

create function public.place_legal_hold(
    user_id uuid,
    reason text,
    conversation_id uuid default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_hold jsonb;
begin
    insert into private.legal_holds (user_id, conversation_id, reason)
    values (place_legal_hold.user_id, place_legal_hold.conversation_id, place_legal_hold.reason)
    returning to_jsonb(legal_holds) into v_hold;

    -- A removal that has begun ends first, and is then none of this hold's; a later one sees it.
    perform 1
    from private.conversations as c
    where c.user_id = place_legal_hold.user_id
      and (place_legal_hold.conversation_id is null or c.id = place_legal_hold.conversation_id)
    order by c.id
    for key share;

    if not found and conversation_id is not null then
        raise foreign_key_violation;
    end if;
    return v_hold;
exception
    when foreign_key_violation then
        if conversation_id is null then
            raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
        end if;
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
end;
$$;

revoke all on function public.place_legal_hold from public, anon, authenticated, service_role;
grant execute on function public.place_legal_hold to service_role;
comment on function public.place_legal_hold is 'Keeps a conversation, or all of a user''s, from being removed until the hold is released. Raises PT404.';

create function public.list_legal_holds(
    user_id uuid default null,
    conversation_id uuid default null,
    released boolean default false
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'holds', coalesce(jsonb_agg(to_jsonb(h) order by h.placed_at desc, h.id desc), '[]')
    )
    from (
        select h.*
        from private.legal_holds as h
        where (h.released_at is not null) = list_legal_holds.released
          and (list_legal_holds.user_id is null or h.user_id = list_legal_holds.user_id)
          and (
              list_legal_holds.conversation_id is null
              or h.conversation_id = list_legal_holds.conversation_id
          )
        order by h.placed_at desc, h.id desc
        limit 1000
    ) as h;
$$;

revoke all on function public.list_legal_holds from public, anon, authenticated, service_role;
grant execute on function public.list_legal_holds to service_role;
comment on function public.list_legal_holds is 'Legal holds that are in force, or that were released, newest first, 1,000 at most.';

create function public.release_legal_hold(user_id uuid, hold_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_hold jsonb;
begin
    update private.legal_holds as h
    set released_at = coalesce(h.released_at, v_now)
    where h.user_id = release_legal_hold.user_id and h.id = release_legal_hold.hold_id
    returning to_jsonb(h) into v_hold;

    if not found then
        raise exception 'Legal hold not found.'
            using errcode = 'PT404', detail = 'legal_hold_not_found';
    end if;
    return v_hold;
end;
$$;

revoke all on function public.release_legal_hold from public, anon, authenticated, service_role;
grant execute on function public.release_legal_hold to service_role;
comment on function public.release_legal_hold is 'Ends a legal hold; one that has ended stays as it is. Raises PT404.';

-- How long conversations are kept: the policies, of a user, of a project, or of everybody.

create table private.retention_policies (
    id uuid not null default gen_random_uuid(),
    user_id uuid,
    project_id uuid,
    archive_after_days integer,
    delete_after_days integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint retention_policies_pkey primary key (id),
    constraint retention_policies_scope_key unique nulls not distinct (user_id, project_id),
    constraint retention_policies_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint retention_policies_one_scope check (num_nonnulls(user_id, project_id) <= 1),
    constraint retention_policies_archive_after check (archive_after_days between 1 and 36500),
    constraint retention_policies_delete_after check (delete_after_days between 1 and 36500),
    constraint retention_policies_archive_first check (archive_after_days <= delete_after_days)
);

alter table private.retention_policies enable row level security;

create policy withheld on private.retention_policies for select to authenticated using (false);

-- Withheld from clients: everything. What is kept of a user is the operator's to say.
revoke all on table private.retention_policies from public, anon, authenticated, service_role;
grant select, delete on table private.retention_policies to service_role;
grant insert (user_id, project_id, archive_after_days, delete_after_days)
    on table private.retention_policies to service_role;
grant update (archive_after_days, delete_after_days, updated_at)
    on table private.retention_policies to service_role;

comment on table private.retention_policies is 'After how many idle days conversations are archived and deleted: of a user, else of a project, else of everybody. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.retention_policies.user_id is 'Whose conversations; null with a null project_id is everybody''s.';
comment on column private.retention_policies.archive_after_days is 'Null is never. A policy of two nulls keeps what a wider one would remove.';

create function public.set_retention_policy(
    user_id uuid default null,
    project_id uuid default null,
    archive_after_days integer default null,
    delete_after_days integer default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_policy jsonb;
begin
    insert into private.retention_policies
        (user_id, project_id, archive_after_days, delete_after_days)
    values
        (set_retention_policy.user_id, set_retention_policy.project_id,
         set_retention_policy.archive_after_days, set_retention_policy.delete_after_days)
    on conflict on constraint retention_policies_scope_key do update
    set archive_after_days = excluded.archive_after_days,
        delete_after_days = excluded.delete_after_days,
        updated_at = now()
    returning to_jsonb(retention_policies) into v_policy;

    return v_policy;
exception
    when foreign_key_violation then
        raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
end;
$$;

revoke all on function public.set_retention_policy from public, anon, authenticated, service_role;
grant execute on function public.set_retention_policy to service_role;
comment on function public.set_retention_policy is 'Sets the one policy of a user, of a project, or of everybody. Raises PT404.';

create function public.list_retention_policies(
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'policies', coalesce(jsonb_agg(to_jsonb(p) order by p.created_at, p.id), '[]')
    )
    from (
        select p.*
        from private.retention_policies as p
        where (list_retention_policies.user_id is null or p.user_id = list_retention_policies.user_id)
          and (
              list_retention_policies.project_id is null
              or p.project_id = list_retention_policies.project_id
          )
        order by p.created_at, p.id
        limit 1000
    ) as p;
$$;

revoke all on function public.list_retention_policies from public, anon, authenticated, service_role;
grant execute on function public.list_retention_policies to service_role;
comment on function public.list_retention_policies is 'The retention policies, oldest first, 1,000 at most.';

create function public.delete_retention_policy(policy_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
begin
    delete from private.retention_policies as p
    where p.id = delete_retention_policy.policy_id;

    if not found then
        raise exception 'Retention policy not found.'
            using errcode = 'PT404', detail = 'retention_policy_not_found';
    end if;
    return jsonb_build_object('id', policy_id);
end;
$$;

revoke all on function public.delete_retention_policy from public, anon, authenticated, service_role;
grant execute on function public.delete_retention_policy to service_role;
comment on function public.delete_retention_policy is 'Removes a retention policy: a wider one applies from then on, or none. Raises PT404.';

-- Archives and deletes what lies idle, by the policies.

-- The one rule. The policy that applies is the most specific: the user's, else the project's, else
-- everybody's. Importing is a use of a conversation, as restoring is: its messages keep the times
-- they had, but its idle days count from the import.
create function private.retention_action(conversation private.conversations, due_at timestamptz)
returns text
language sql stable security invoker set search_path = ''
as $$
    select case
        when idle.since < due_at - make_interval(days => policy.delete_after_days) then 'delete'
        when conversation.archived_at is null
            and idle.since < due_at - make_interval(days => policy.archive_after_days) then 'archive'
    end
    from (
        select p.archive_after_days, p.delete_after_days
        from private.retention_policies as p
        where p.user_id = conversation.user_id
           or p.project_id = conversation.project_id
           or num_nonnulls(p.user_id, p.project_id) = 0
        order by p.user_id nulls last, p.project_id nulls last
        limit 1
    ) as policy
    cross join lateral (
        select greatest(
            conversation.updated_at,
            conversation.restored_at,
            (conversation.imported ->> 'at')::timestamptz
        ) as since
    ) as idle
    where not private.is_held(conversation.user_id, conversation.id)
      and not exists (
          select 1
          from public.turns as t
          where t.user_id = conversation.user_id and t.conversation_id = conversation.id
            and t.status = 'running'
      );
$$;

grant execute on function private.retention_action to service_role;
comment on function private.retention_action is 'What retention is to do with a conversation by a moment: archive, delete, or null. Null too for one that is held, or has a running turn.';

-- No policy removes what is younger than this; an index knows what is not.
create function private.retention_bound(due_at timestamptz, is_archived boolean default false)
returns timestamptz
language sql stable security invoker set search_path = ''
as $$
    select due_at - make_interval(days => min(least(
        case when not is_archived then p.archive_after_days end, p.delete_after_days
    )))
    from private.retention_policies as p;
$$;

grant execute on function private.retention_bound to service_role;
comment on function private.retention_bound is 'Conversations with activity from then on are no policy''s yet; null where there is no policy.';

-- Looks at so many conversations and no more, however few of them are due: next is where the next
-- page begins. A project is asked for behind that bound, since one without any idle conversation would
-- have all of them read. Sorting is switched off, here and below, so that whatever the statistics say
-- the longest idle come from the end of their index, and no others are read.
create function public.list_users_due_for_retention(
    project_id uuid default null,
    most integer default 10000,
    after_updated_at timestamptz default null,
    after_id uuid default null
)
returns jsonb
language sql stable security invoker set search_path = ''
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
as $$
    with looked_at as materialized (
        select c as conversation,
               row_number() over (order by c.updated_at at time zone 'utc', c.id) as place
        from private.conversations as c
        where c.updated_at at time zone 'utc' < private.retention_bound(now()) at time zone 'utc'
          and (c.updated_at at time zone 'utc', c.id) > (
              coalesce(after_updated_at, '-infinity') at time zone 'utc',
              coalesce(after_id, '00000000-0000-0000-0000-000000000000')
          )
        order by c.updated_at at time zone 'utc', c.id
        limit most
    )
    select jsonb_build_object(
        'users', (
            select coalesce(jsonb_agg(due.user_id order by due.place), '[]')
            from (
                select (l.conversation).user_id, min(l.place) as place
                from looked_at as l
                where (
                        list_users_due_for_retention.project_id is null
                        or (l.conversation).project_id = list_users_due_for_retention.project_id
                    )
                  and private.retention_action(l.conversation, now()) is not null
                group by (l.conversation).user_id
            ) as due
        ),
        'next', (
            select jsonb_build_object(
                'after_updated_at', (l.conversation).updated_at,
                'after_id', (l.conversation).id
            )
            from looked_at as l
            where l.place = most
        )
    );
$$;

revoke all on function public.list_users_due_for_retention from public, anon, authenticated, service_role;
grant execute on function public.list_users_due_for_retention to service_role;
comment on function public.list_users_due_for_retention is 'Whose conversations a policy archives or deletes by now, longest idle first, among so many idle ones: a listing, for a call of apply_retention each. next has the arguments of the page that follows.';

-- A step is bounded in messages too: one that takes longer than its caller waits would be undone
-- whole, and be the first again the next time.
create function public.apply_retention(
    user_id uuid,
    dry_run boolean default true,
    most integer default 500,
    project_id uuid default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_now constant timestamptz := now();
    v_conversation private.conversations;
    v_action text;
    v_chosen bigint := 0;
    v_archived bigint := 0;
    v_deleted bigint := 0;
    v_messages bigint := 0;
    v_turns bigint := 0;
    v_more boolean := false;
begin
    for v_conversation in
        select c.*
        from private.conversations as c
        where c.user_id = apply_retention.user_id
          and c.updated_at < private.retention_bound(v_now)
          and (
              c.archived_at is null
              or c.updated_at < private.retention_bound(v_now, is_archived => true)
          )
          and (apply_retention.project_id is null or c.project_id = apply_retention.project_id)
        order by c.updated_at, c.id
    loop
        v_action := private.retention_action(v_conversation, v_now);
        continue when v_action is null;

        v_more := v_chosen >= most or v_messages >= c_messages
            or (v_chosen > 0 and clock_timestamp() > v_until);
        exit when v_more;
        v_chosen := v_chosen + 1;

        if not dry_run then
            -- What somebody is writing to is in use: it is left for the next time.
            select c.* into v_conversation
            from private.conversations as c
            where c.user_id = apply_retention.user_id and c.id = v_conversation.id
            for update skip locked;
            continue when not found;
            -- Asked again, since only under the lock nobody writes, restores or places a hold any more.
            v_action := private.retention_action(v_conversation, v_now);
        end if;

        if v_action = 'archive' then
            v_archived := v_archived + 1;
            continue when dry_run;
            update public.conversations as c
            set archived_at = v_now
            where c.user_id = apply_retention.user_id and c.id = v_conversation.id;
        elsif v_action = 'delete' then
            v_deleted := v_deleted + 1;
            v_messages := v_messages + v_conversation.last_seq;
            v_turns := v_turns + (
                select count(*)
                from public.turns as t
                where t.user_id = apply_retention.user_id
                  and t.conversation_id = v_conversation.id
            );
            continue when dry_run;
            delete from public.conversations as c
            where c.user_id = apply_retention.user_id and c.id = v_conversation.id;
        end if;
    end loop;

    if not dry_run then
        v_more := private.remove_step(user_id, v_until) or v_more;
    end if;

    return jsonb_build_object(
        'dry_run', dry_run,
        'archived', v_archived,
        'deleted', jsonb_build_object(
            'conversations', v_deleted, 'messages', v_messages, 'turns', v_turns
        ),
        'skipped', v_chosen - v_archived - v_deleted,
        'more', v_more
    );
end;
$$;

revoke all on function public.apply_retention from public, anon, authenticated, service_role;
grant execute on function public.apply_retention to service_role;
comment on function public.apply_retention is 'Archives and deletes what the policies say of one user''s conversations, so many at most, longest idle first; a dry run only counts. Skips what is being written to; more says that some is left, or hidden and not yet removed. Called for each of list_users_due_for_retention.';

-- The erasure of a user: everything of theirs is removed, and a receipt says how much that was.

-- No foreign key on user_id: a receipt outlives the account.
create table private.erasure_receipts (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    conversations bigint not null default 0,
    messages bigint not null default 0,
    turns bigint not null default 0,
    summaries bigint not null default 0,
    import_parts bigint not null default 0,
    held bigint not null default 0,
    requested_at timestamptz not null default now(),
    erased_at timestamptz,

    constraint erasure_receipts_pkey primary key (id),
    constraint erasure_receipts_user_id_idempotency_key_key unique (user_id, idempotency_key),
    constraint erasure_receipts_idempotency_key_length
        check (char_length(idempotency_key) between 1 and 255),
    constraint erasure_receipts_requested_by_known check (requested_by in ('user', 'service'))
);

create index idx_erasure_receipts_unfinished
    on private.erasure_receipts (user_id)
    where erased_at is null;

alter table private.erasure_receipts enable row level security;

create policy withheld on private.erasure_receipts for select to authenticated using (false);

-- Withheld: everything from clients, who get their receipt as an answer. Nobody deletes one.
revoke all on table private.erasure_receipts from public, anon, authenticated, service_role;
grant select on table private.erasure_receipts to service_role;
grant insert (user_id, idempotency_key, requested_by) on table private.erasure_receipts to service_role;
grant update (conversations, messages, turns, summaries, import_parts, held, erased_at)
    on table private.erasure_receipts to service_role;

comment on table private.erasure_receipts is 'What an erasure removed: counts and times, nothing of the content. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.erasure_receipts.summaries is 'How many of the messages were summaries.';
comment on column private.erasure_receipts.import_parts is 'Parts of files that were imported within the last hour.';
comment on column private.erasure_receipts.held is 'Conversations that a legal hold kept.';
comment on column private.erasure_receipts.erased_at is 'When all of it was done; null while some is left.';

create function public.erase_account(
    user_id uuid,
    idempotency_key text,
    requested_by text default 'service',
    most integer default 2000
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_receipt private.erasure_receipts;
    v_ahead bigint := 0;
    v_conversation private.conversations;
    v_left bigint;
begin
    insert into private.erasure_receipts (user_id, idempotency_key, requested_by)
    values (erase_account.user_id, erase_account.idempotency_key, erase_account.requested_by)
    on conflict on constraint erasure_receipts_user_id_idempotency_key_key do nothing;

    -- Callers with one key queue here.
    select r.* into v_receipt
    from private.erasure_receipts as r
    where r.user_id = erase_account.user_id
      and r.idempotency_key = erase_account.idempotency_key
    for update;

    if v_receipt.erased_at is not null then
        return to_jsonb(v_receipt) || jsonb_build_object('remaining', 0);
    end if;

    if private.is_held(user_id, null) then
        raise exception 'A legal hold keeps this user''s conversations.'
            using errcode = 'PT409', detail = 'legal_hold';
    end if;

    -- First, since this waits for a part that is being taken: what it made is found below. The next
    -- part finds those before it gone.
    v_receipt.import_parts := v_receipt.import_parts + private.end_imports(user_id);

    for v_conversation in
        select c.*
        from private.conversations as c
        where c.user_id = erase_account.user_id
          and not private.is_held(c.user_id, c.id)
        order by c.id
        limit most
    loop
        select c.* into v_conversation
        from private.conversations as c
        where c.user_id = erase_account.user_id and c.id = v_conversation.id
        for update;
        -- Under the lock nobody adds a message or places a hold any more; one that came before counts.
        continue when not found or private.is_held(user_id, v_conversation.id);

        v_receipt.conversations := v_receipt.conversations + 1;
        v_receipt.messages := v_receipt.messages + (
            select count(*)
            from public.messages as m
            where m.user_id = erase_account.user_id and m.conversation_id = v_conversation.id
        );
        v_receipt.turns := v_receipt.turns + (
            select count(*)
            from public.turns as t
            where t.user_id = erase_account.user_id and t.conversation_id = v_conversation.id
        );
        v_receipt.summaries := v_receipt.summaries + (
            select count(*)
            from public.summaries as s
            where s.user_id = erase_account.user_id and s.conversation_id = v_conversation.id
        );

        delete from public.conversations as c
        where c.user_id = erase_account.user_id and c.id = v_conversation.id;

        v_ahead := v_ahead + v_conversation.last_seq;
        exit when v_ahead >= c_messages or clock_timestamp() > v_until;
    end loop;

    -- Holds on the user have refused already: those that are left are each on a conversation.
    v_receipt.held := (
        select count(distinct h.conversation_id)
        from private.legal_holds as h
        where h.user_id = erase_account.user_id
          and h.released_at is null
    );

    select count(*) - v_receipt.held into v_left
    from private.conversations as c
    where c.user_id = erase_account.user_id;

    -- First all of it is hidden, then what takes longer is removed.
    if v_left = 0 then
        perform private.remove_step(user_id, v_until);
    end if;
    v_left := v_left + cardinality(private.being_deleted(user_id));

    -- Old tables that an adoption put aside, by a function that their migration made. No hold knows
    -- what of them it is about: while there is one, all of it stays.
    if v_left = 0 and v_receipt.held = 0
        and to_regprocedure('legacy_chat.erase_user(uuid, timestamptz)') is not null
    then
        execute 'select legacy_chat.erase_user($1, $2)::integer'
            into v_left
            using user_id, v_until;
    end if;

    v_receipt.erased_at := case when v_left = 0 then clock_timestamp() end;
    update private.erasure_receipts as r
    set conversations = v_receipt.conversations,
        messages = v_receipt.messages,
        turns = v_receipt.turns,
        summaries = v_receipt.summaries,
        import_parts = v_receipt.import_parts,
        held = v_receipt.held,
        erased_at = v_receipt.erased_at
    where r.user_id = erase_account.user_id and r.id = v_receipt.id;

    return to_jsonb(v_receipt) || jsonb_build_object('remaining', v_left);
end;
$$;

revoke all on function public.erase_account from public, anon, authenticated, service_role;
grant execute on function public.erase_account to service_role;
comment on function public.erase_account is 'Deletes a user''s conversations with everything in them, a step at a time, and what they were importing, and answers the receipt with how many remain; the same key goes on, as the sweep does, and answers the same receipt once nothing is left. The receipt counts what it found, also what goes in later steps. Keeps what is held. Leaves the account itself to Auth. Raises PT409.';

-- How a conversation is deleted, through whichever door: a short one at once, with all that is in it.
-- Of a long one the row is marked, and so hidden with everything that hangs on it; the rows go in
-- steps, which anybody may take: the next call, or the sweep.

-- Runs as its owner, because whoever deletes may not mark a row, nor delete turns and messages. Each
-- message costs checks of its own: what one transaction deletes at once is bounded over all of its
-- conversations together. Its name comes behind that of the trigger that refuses what is held.
create function private.remove_in_steps()
returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    c_at_once constant bigint := 2000;
    c_counter constant text := 'message_persistence.deleted_at_once';
    v_count constant bigint := coalesce(nullif(current_setting(c_counter, true), ''), '0')::bigint
        + 1 + old.last_seq;
begin
    if old.deleting_since is null and v_count <= c_at_once then
        perform set_config(c_counter, v_count::text, true);
        return old;
    elsif not exists (select 1 from auth.users as u where u.id = old.user_id) then
        -- The account goes, and can't without all that refers to it.
        return old;
    elsif old.deleting_since is not null then
        return case
            when exists (
                select 1
                from public.messages as m
                where m.user_id = old.user_id and m.conversation_id = old.id
            ) then null
            else old
        end;
    end if;

    update public.conversations as c
    set deleting_since = '-infinity',
        imported = null -- the same may be imported again
    where c.user_id = old.user_id and c.id = old.id;

    -- Its worker finds no turn to complete, as that of any conversation that is gone.
    delete from public.turns as t
    where t.user_id = old.user_id and t.conversation_id = old.id
      and t.status = 'running';

    delete from search.watermarks as w -- nothing of it is indexed any more
    where w.user_id = old.user_id and w.conversation_id = old.id;

    return null;
end;
$$;

comment on function private.remove_in_steps is 'Lets a short conversation be deleted; marks a long one as being deleted instead, and keeps its row until it is empty.';

create trigger conversations_remove_in_steps
    before delete on public.conversations
    for each row
    execute function private.remove_in_steps();

-- Runs as its owner, because messages are append-only for everybody. What is marked is the user's
-- will already: a hold that comes later keeps none of it.
create function private.remove_step(user_id uuid, until timestamptz)
returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    c_rows constant integer := 200;
    v_id uuid;
    v_seq bigint;
    v_turns uuid[];
begin
    loop
        -- One that somebody else empties just now is left to them.
        select c.id into v_id
        from public.conversations as c
        where c.user_id = remove_step.user_id
          and c.deleting_since <= clock_timestamp()
        order by c.id
        limit 1
        for update skip locked;
        exit when not found;

        v_seq := null;
        loop
            with removed as (
                delete from public.messages as m
                where m.user_id = remove_step.user_id and m.conversation_id = v_id
                  and m.seq <= (
                      select max(next.seq)
                      from (
                          select o.seq
                          from public.messages as o
                          where o.user_id = remove_step.user_id and o.conversation_id = v_id
                            and (v_seq is null or o.seq > v_seq)
                          order by o.seq
                          limit c_rows
                      ) as next
                  )
                  and (v_seq is null or m.seq > v_seq)
                returning m.seq, m.turn_id
            )
            select max(removed.seq), array_agg(removed.turn_id) into v_seq, v_turns from removed;

            -- Behind the last message turns without one: there are none but where something is broken.
            delete from public.turns as t
            where t.user_id = remove_step.user_id
              and t.id = any (coalesce(v_turns, array(
                  select o.id
                  from public.turns as o
                  where o.user_id = remove_step.user_id and o.conversation_id = v_id
                  limit c_rows
              )));
            exit when v_seq is null and not found;

            if clock_timestamp() > until then
                return true;
            end if;
        end loop;

        delete from public.conversations as c
        where c.user_id = remove_step.user_id and c.id = v_id;
        exit when clock_timestamp() > until;
    end loop;

    -- In order, so that the next one is looked up, however many of them the statistics expect.
    return (
        select c.id
        from public.conversations as c
        where c.user_id = remove_step.user_id
          and c.deleting_since <= clock_timestamp()
        order by c.id
        limit 1
    ) is not null;
end;
$$;

grant execute on function private.remove_step to authenticated, service_role;
comment on function private.remove_step is 'Empties and deletes what is marked of a user''s conversations, until a moment; says whether some is left.';

create function public.delete_conversation(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_time constant interval := '2 seconds';
    v_more boolean := false;
begin
    perform private.require_self(delete_conversation.user_id);

    if conversation_id = any (private.being_deleted(user_id)) then
        v_more := private.remove_step(user_id, clock_timestamp() + c_time);
    else
        delete from public.conversations as c
        where c.user_id = delete_conversation.user_id and c.id = delete_conversation.conversation_id;

        if not found then
            v_more := conversation_id = any (private.being_deleted(user_id));
            if not v_more then
                raise exception 'Conversation not found.'
                    using errcode = 'PT404', detail = 'conversation_not_found';
            end if;
        end if;
    end if;

    return jsonb_build_object('id', conversation_id, 'more', v_more);
end;
$$;

revoke all on function public.delete_conversation from public, anon, authenticated, service_role;
grant execute on function public.delete_conversation to authenticated, service_role;
comment on function public.delete_conversation is 'Deletes a conversation with its turns and messages, for good. With more it is hidden at once and not yet empty: the same call goes on, or the sweep. Raises PT404, PT409.';

-- A listing: it reads over all users, and continue_removal then removes for one.
create function public.list_removals(most integer default 1000)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object('users', coalesce(jsonb_agg(unfinished.user_id), '[]'))
    from (
        select c.user_id
        from public.conversations as c
        where c.deleting_since <= clock_timestamp()
        union
        select r.user_id
        from private.erasure_receipts as r
        where r.erased_at is null
          and not private.is_held(r.user_id, null)
        union
        select p.user_id
        from private.import_parts as p
        group by p.user_id, p.import_id
        having max(p.taken_at) < now() - interval '1 hour'
        limit most
    ) as unfinished;
$$;

revoke all on function public.list_removals from public, anon, authenticated, service_role;
grant execute on function public.list_removals to service_role;
comment on function public.list_removals is 'Whose deletions, erasure or import somebody has begun and not ended: {users}.';

create function public.continue_removal(user_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_time constant interval := '2 seconds';
    v_receipt private.erasure_receipts;
begin
    select r.* into v_receipt
    from private.erasure_receipts as r
    where r.user_id = continue_removal.user_id
      and r.erased_at is null
    order by r.requested_at, r.id
    limit 1;

    if found and not private.is_held(user_id, null) then
        return jsonb_build_object('more', (
            public.erase_account(user_id, v_receipt.idempotency_key, v_receipt.requested_by)
            ->> 'remaining'
        )::bigint > 0);
    end if;

    delete from private.import_parts as p
    where p.user_id = continue_removal.user_id
      and p.import_id in (
          select o.import_id
          from private.import_parts as o
          where o.user_id = continue_removal.user_id
          group by o.import_id
          having max(o.taken_at) < now() - interval '1 hour'
      );

    return jsonb_build_object('more', private.remove_step(user_id, clock_timestamp() + c_time));
end;
$$;

revoke all on function public.continue_removal from public, anon, authenticated, service_role;
grant execute on function public.continue_removal to service_role;
comment on function public.continue_removal is 'Goes on with what of a user''s is being deleted, an erasure included, for two seconds: {more}. Forgets the parts of imports that nobody went on with for an hour.';

-- Places: seq is 1, 2, 3 ... in each conversation, and created_at, the branches and the search's
-- watermark agree with it. A conversation says what its newest messages and branches are; below is how
-- that is repaired, and places are, under the lock that repair_invariants takes.

create function private.branch_at(user_id uuid, conversation_id uuid, seq bigint)
returns integer
language sql stable security invoker set search_path = ''
as $$
    select coalesce(max(b.branch), 0)
    from public.branches as b
    where b.user_id = branch_at.user_id and b.conversation_id = branch_at.conversation_id
      and b.first_seq <= branch_at.seq;
$$;

comment on function private.branch_at is 'The branch that a seq is in.';

-- Each begins no earlier than the one before it and goes on from within its parent.
create function private.count_branches(user_id uuid, conversation_id uuid, last_seq bigint)
returns integer
language sql stable security invoker set search_path = ''
as $$
    select case
        when coalesce(bool_and(
            b.branch = b.nth
            and b.first_seq between b.previous_seq and count_branches.last_seq + 1
            and b.fork_seq >= coalesce(above.first_seq, 0)
            and b.fork_seq < coalesce(next.first_seq, 0)
        ), true) then count(b.branch)::integer
    end
    from (
        select o.*,
               row_number() over numbers as nth,
               lag(o.first_seq, 1, 0) over numbers as previous_seq
        from public.branches as o
        where o.user_id = count_branches.user_id
          and o.conversation_id = count_branches.conversation_id
        window numbers as (order by o.branch)
    ) as b
    left join public.branches as above
        on above.user_id = b.user_id and above.conversation_id = b.conversation_id
        and above.branch = b.parent
    left join public.branches as next
        on next.user_id = b.user_id and next.conversation_id = b.conversation_id
        and next.branch = b.parent + 1;
$$;

comment on function private.count_branches is 'How many branches a conversation has beside 0; null where they are no tree.';

create function private.find_broken_conversations(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select b.name, c.user_id, c.id
    from (
        select o.*,
               coalesce((
                   select max(m.seq)
                   from public.messages as m
                   where m.user_id = o.user_id and m.conversation_id = o.id
               ), 0) as newest_seq
        from private.conversations as o
        where o.id = any (ids)
    ) as c
    cross join lateral (
        values
            ('last_seq_wrong', c.last_seq <> c.newest_seq),
            ('branch_wrong',
             not c.active_branch between 0 and c.last_branch
             or private.count_branches(c.user_id, c.id, c.last_seq) is distinct from c.last_branch),
            -- It could come to be said of a message that isn't in the index.
            ('watermark_too_high', c.newest_seq < (
                select w.indexed_seq
                from search.watermarks as w
                where w.user_id = c.user_id and w.conversation_id = c.id
            ))
    ) as b (name, is_broken)
    where b.is_broken;
$$;

comment on function private.find_broken_conversations is 'What is broken of these conversations.';

-- Repairs seq_gap, seq_tie, created_at_out_of_order.
create function private.renumber_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_above bigint;
begin
    -- Branches keep what they have: places are counted below their ends.
    update public.branches as b
    set fork_seq = counted.forked,
        first_seq = counted.earlier + 1
    from (
        select o.branch,
               count(m.id) filter (where m.seq <= o.fork_seq) as forked,
               count(m.id) filter (where m.seq < o.first_seq) as earlier
        from public.branches as o
        left join public.messages as m
            on m.user_id = o.user_id and m.conversation_id = o.conversation_id
        where o.user_id = renumber_conversation.user_id
          and o.conversation_id = renumber_conversation.conversation_id
        group by o.branch
    ) as counted
    where b.user_id = renumber_conversation.user_id
      and b.conversation_id = renumber_conversation.conversation_id
      and b.branch = counted.branch;

    select greatest(max(m.seq), count(*)) into v_above
    from public.messages as m
    where m.user_id = renumber_conversation.user_id
      and m.conversation_id = renumber_conversation.conversation_id;

    -- In two steps, since two rows may not share a seq even for a moment: first what is wrong goes
    -- above all there are, then down to its place. A created_at that is not later than the one before
    -- it becomes that one's and a microsecond.
    update public.messages as m
    set seq = v_above + placed.place,
        created_at = placed.created_at
    from (
        select o.id,
               o.place,
               max(o.created_at - o.place * interval '1 microsecond') over (order by o.place)
                   + o.place * interval '1 microsecond' as created_at
        from (
            select m.id, m.seq, m.created_at,
                   row_number() over (order by m.seq, m.created_at, m.id) as place
            from public.messages as m
            where m.user_id = renumber_conversation.user_id
              and m.conversation_id = renumber_conversation.conversation_id
        ) as o
    ) as placed
    where m.user_id = renumber_conversation.user_id and m.id = placed.id
      and (m.seq, m.created_at) is distinct from (placed.place, placed.created_at);

    update public.messages as m
    set seq = m.seq - v_above
    where m.user_id = renumber_conversation.user_id
      and m.conversation_id = renumber_conversation.conversation_id
      and m.seq > v_above;

    return private.recount_conversation(user_id, conversation_id);
end;
$$;

comment on function private.renumber_conversation is 'Numbers a conversation''s messages 1, 2, 3 ... by seq, then created_at, then id, and makes created_at grow with it.';

-- Repairs last_seq_wrong, branch_wrong. Where no tree can be made of the branches, all messages are on
-- one path, in the order of writing.
create function private.recount_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_newest record;
    v_branches integer;
begin
    select coalesce(max(m.seq), 0) as seq, max(m.created_at) as created_at into v_newest
    from public.messages as m
    where m.user_id = recount_conversation.user_id
      and m.conversation_id = recount_conversation.conversation_id;

    v_branches := private.count_branches(user_id, conversation_id, v_newest.seq);
    if v_branches is null then
        delete from public.branches as b
        where b.user_id = recount_conversation.user_id
          and b.conversation_id = recount_conversation.conversation_id;
        v_branches := 0;
    end if;

    update public.messages as m
    set branch = private.branch_at(m.user_id, m.conversation_id, m.seq)
    where m.user_id = recount_conversation.user_id
      and m.conversation_id = recount_conversation.conversation_id
      and (v_branches > 0 or m.branch <> 0)
      and m.branch <> private.branch_at(m.user_id, m.conversation_id, m.seq);

    -- The next message takes its place from these.
    update public.conversations as c
    set last_seq = v_newest.seq,
        updated_at = greatest(c.updated_at, v_newest.created_at),
        last_branch = v_branches,
        active_branch = case
            when c.active_branch between 0 and v_branches then c.active_branch
            else v_branches
        end
    where c.user_id = recount_conversation.user_id and c.id = recount_conversation.conversation_id;

    return found;
end;
$$;

comment on function private.recount_conversation is 'Sets what a conversation says of its newest message and of its branches, and gives its messages the branches that their places are in.';

-- Repairs watermark_too_high: below the first message that is not in the index; what is there beyond
-- stays as it is.
create function private.lower_watermark(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    insert into search.watermarks as w (user_id, conversation_id, indexed_seq)
    select c.user_id, c.id,
           coalesce(
               min(m.seq) filter (
                   where not exists (
                       select 1
                       from search.documents as d
                       where d.user_id = m.user_id and d.message_id = m.id
                   )
               ) - 1,
               max(m.seq),
               0
           )
    from public.conversations as c
    left join public.messages as m on m.user_id = c.user_id and m.conversation_id = c.id
    where c.user_id = lower_watermark.user_id and c.id = lower_watermark.conversation_id
    group by c.user_id, c.id
    on conflict on constraint watermarks_pkey do update
    set indexed_seq = least(w.indexed_seq, excluded.indexed_seq);

    return found;
end;
$$;

comment on function private.lower_watermark is 'Puts a conversation''s watermark below what is not in the search index, so that it is indexed next.';

-- A message has a place after the one before it, and belongs to a conversation of its owner's, the turn
-- that it names, and the parts that its content is of. Whatever it names is looked up by its id alone:
-- it may stand under a wrong user.

create function private.find_broken_messages(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select distinct b.name, b.user_id, b.id
    from public.messages as m
    left join lateral (
        select c.*, c.user_id = m.user_id and c.deleting_since is null as is_here
        from public.conversations as c
        where c.id = m.conversation_id
        limit 1 -- so that it is looked up, whatever the planner takes the table for
    ) as c on true
    left join lateral (
        select o.seq, o.created_at
        from public.messages as o
        where o.user_id = m.user_id and o.conversation_id = m.conversation_id
          and o.seq <= m.seq
          and o.id <> m.id
        order by o.seq desc
        limit 1
    ) as before on true
    cross join lateral (
        values
            ('row_of_another_owner', c.user_id, c.id, m.user_id <> c.user_id),
            ('conversation_missing', m.user_id, m.conversation_id, c.id is null),
            ('message_of_unknown_turn', m.user_id, m.id,
             m.turn_id is not null
             and not exists (select 1 from public.turns as t where t.id = m.turn_id)),
            -- What was imported has the content that it came with.
            ('content_not_of_parts', m.user_id, m.id,
             m.turn_id is not null
             and m.parts <> '[]'
             and not private.parts_agree(m.content, m.metadata, m.parts)),
            ('seq_gap', c.user_id, c.id,
             c.is_here and m.seq <> coalesce(before.seq, 0) + 1 and m.seq is distinct from before.seq),
            ('seq_tie', c.user_id, c.id, c.is_here and m.seq = before.seq),
            ('created_at_out_of_order', c.user_id, c.id,
             c.is_here and m.seq > before.seq and m.created_at <= before.created_at),
            ('branch_wrong', c.user_id, c.id, c.is_here and m.branch <> case
                when c.last_branch = 0 then 0
                else private.branch_at(m.user_id, m.conversation_id, m.seq)
            end),
            ('watermark_too_high', c.user_id, c.id,
             c.is_here
             and not exists (
                 select 1
                 from search.documents as d
                 where d.user_id = m.user_id and d.message_id = m.id
             )
             and not exists (
                 select 1
                 from search.watermarks as w
                 where w.user_id = m.user_id and w.conversation_id = m.conversation_id
                   and w.indexed_seq < m.seq
             ))
    ) as b (name, user_id, id, is_broken)
    where m.id = any (ids)
      and b.is_broken;
$$;

comment on function private.find_broken_messages is 'What is broken of these messages: places, owners and missing conversations by the id of the conversation, else by the message''s.';

-- Repairs conversation_missing. Rows of an account that is gone belong to nobody who could be shown
-- them.
create function private.recover_conversation(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_id uuid := recover_conversation.conversation_id;
begin
    if not exists (select 1 from auth.users as u where u.id = recover_conversation.user_id) then
        return false;
    end if;

    -- A turn alone goes where its messages are.
    update public.turns as t
    set conversation_id = m.conversation_id
    from public.messages as m
    join public.conversations as c on c.user_id = m.user_id and c.id = m.conversation_id
    where t.user_id = recover_conversation.user_id
      and t.conversation_id = v_id
      and m.user_id = t.user_id and m.turn_id = t.id
      and m.conversation_id <> v_id;

    if not exists (
        select 1
        from public.messages as m
        where m.user_id = recover_conversation.user_id and m.conversation_id = v_id
        union all
        select 1
        from public.turns as t
        where t.user_id = recover_conversation.user_id and t.conversation_id = v_id
    ) then
        return found; -- nothing is left there, or was: somebody else has repaired it
    end if;

    -- Where another's rows have the same id, it is nobody's: nobody is shown another's.
    if exists (
        select 1
        from public.conversations as c
        where c.id = v_id
          and c.user_id <> recover_conversation.user_id
        union all
        select 1
        from public.messages as m
        where m.conversation_id = v_id
          and m.user_id <> recover_conversation.user_id
        union all
        select 1
        from public.turns as t
        where t.conversation_id = v_id
          and t.user_id <> recover_conversation.user_id
    ) then
        v_id := gen_random_uuid();
    end if;

    insert into public.conversations (id, user_id, title)
    values (v_id, recover_conversation.user_id, 'Recovered')
    on conflict do nothing;

    if v_id <> recover_conversation.conversation_id then
        update public.messages as m
        set conversation_id = v_id
        where m.user_id = recover_conversation.user_id
          and m.conversation_id = recover_conversation.conversation_id;

        update public.turns as t
        set conversation_id = v_id
        where t.user_id = recover_conversation.user_id
          and (
              t.conversation_id = recover_conversation.conversation_id
              or t.id in (
                  select m.turn_id
                  from public.messages as m
                  where m.user_id = recover_conversation.user_id
                    and m.conversation_id = v_id
              )
          );

        update public.branches as b
        set conversation_id = v_id
        where b.user_id = recover_conversation.user_id
          and b.conversation_id = recover_conversation.conversation_id;

        update public.summaries as s
        set conversation_id = v_id
        where s.user_id = recover_conversation.user_id
          and s.conversation_id = recover_conversation.conversation_id;
    end if;

    return private.renumber_conversation(user_id, v_id);
end;
$$;

comment on function private.recover_conversation is 'Gives a user''s rows whose conversation is gone one with its id, titled Recovered; false where the account is gone too.';

-- Repairs row_of_another_owner. Whose rows hang together with others of theirs elsewhere, or are at a
-- place that is taken, has a wrong conversation here and not a wrong user: nobody is shown those. In one
-- statement, since rows name each other by their user too; the words are indexed again.
create function private.give_to_owner(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_strayed uuid[];
begin
    select coalesce(array_agg(strayed.user_id), '{}') into v_strayed
    from (
        select m.user_id
        from public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> give_to_owner.user_id
          and (
              exists (
                  select 1
                  from public.messages as o
                  where o.user_id = give_to_owner.user_id
                    and o.conversation_id = m.conversation_id
                    and o.seq = m.seq
              )
              or exists (
                  select 1
                  from public.turns as t
                  where t.user_id = m.user_id and t.id = m.turn_id
                    and t.conversation_id <> m.conversation_id
              )
          )
        union
        select t.user_id
        from public.turns as t
        join public.messages as m on m.user_id = t.user_id and m.turn_id = t.id
        where t.conversation_id = give_to_owner.conversation_id
          and t.user_id <> give_to_owner.user_id
          and m.conversation_id <> t.conversation_id
    ) as strayed;

    perform private.recover_conversation(strayed, give_to_owner.conversation_id)
    from unnest(v_strayed) as strayed;

    with unindexed as (
        delete from search.documents as d
        using public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> all (v_strayed || give_to_owner.user_id)
          and d.user_id = m.user_id and d.message_id = m.id
    ),
    unsummarised as (
        delete from public.summaries as s
        using public.messages as m
        where m.conversation_id = give_to_owner.conversation_id
          and m.user_id <> all (v_strayed || give_to_owner.user_id)
          and s.user_id = m.user_id and m.id in (s.id, s.through_message_id)
    ),
    given as (
        update public.turns as t
        set user_id = give_to_owner.user_id,
            -- The right owner may have used the same key.
            idempotency_key = case
                when exists (
                    select 1
                    from public.turns as o
                    where o.user_id = give_to_owner.user_id
                      and o.idempotency_key = t.idempotency_key
                ) then left(t.idempotency_key, 218) || '-' || t.id
                else t.idempotency_key
            end,
            -- And be in a turn: what runs here has no worker that could settle it.
            status = case t.status when 'running' then 'interrupted' else t.status end,
            finished_at = coalesce(t.finished_at, v_now)
        where t.conversation_id = give_to_owner.conversation_id
          and t.user_id <> all (v_strayed || give_to_owner.user_id)
    )
    update public.messages as m
    set user_id = give_to_owner.user_id,
        turn_id = (
            select t.id
            from public.turns as t
            where t.conversation_id = m.conversation_id
              and t.id = m.turn_id
              and not exists (
                  select 1
                  from public.messages as o
                  where o.user_id = give_to_owner.user_id and o.turn_id = t.id
                    and o.role = m.role
              )
        )
    where m.conversation_id = give_to_owner.conversation_id
      and m.user_id <> all (v_strayed || give_to_owner.user_id);

    return true;
end;
$$;

comment on function private.give_to_owner is 'Makes what is in a user''s conversation the user''s own, but for what has strayed into it, which goes to one of its own user''s.';

-- Turns, which have one message and, once they are settled, one reply; and what is left behind by what
-- is gone.

-- Of a conversation that is being deleted, messages may be gone already.
create function private.find_broken_turns(ids uuid[], lost_since timestamptz)
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select distinct b.name, b.user_id, b.id
    from public.turns as t
    left join lateral (
        select c.user_id, c.deleting_since
        from public.conversations as c
        where c.id = t.conversation_id
        limit 1
    ) as owner on true
    cross join lateral (
        select count(*) filter (where m.role = 'user') as requests,
               count(*) filter (where m.role = 'assistant') as replies
        from public.messages as m
        where m.user_id = t.user_id and m.turn_id = t.id
    ) as own
    cross join lateral (
        values
            ('row_of_another_owner', owner.user_id, t.conversation_id, t.user_id <> owner.user_id),
            ('conversation_missing', t.user_id, t.conversation_id, owner.user_id is null),
            ('turn_without_message', t.user_id, t.id, case
                when t.answers is null then own.requests = 0
                else not exists (
                    select 1
                    from public.messages as m
                    where m.user_id = t.user_id and m.id = t.answers
                      and m.conversation_id = t.conversation_id
                      and m.role = 'user'
                )
            end),
            ('settled_turn_without_reply', t.user_id, t.id,
             t.status <> 'running' and own.replies = 0),
            ('turn_with_two_replies', t.user_id, t.id, own.replies > 1),
            ('turn_without_worker', t.user_id, t.id,
             t.status = 'running' and t.lease_expires_at < lost_since),
            ('draft_left_behind', t.user_id, t.id,
             t.status <> 'running' and (t.draft <> '' or t.draft_parts <> '[]')),
            ('key_used_twice', t.user_id, t.id, exists (
                select 1
                from public.turns as o
                where o.user_id = t.user_id
                  and o.idempotency_key = t.idempotency_key
                  and (o.started_at, o.id) < (t.started_at, t.id)
            ))
    ) as b (name, user_id, id, is_broken)
    where t.id = any (ids)
      and owner.deleting_since is null
      and b.is_broken;
$$;

comment on function private.find_broken_turns is 'What is broken of these turns: owners and missing conversations by the id of the conversation, else by the turn''s.';

create function private.find_left_behind(ids uuid[])
returns table (name text, user_id uuid, id uuid)
language sql stable security invoker set search_path = ''
as $$
    select 'summary_of_no_message', s.user_id, s.id
    from public.summaries as s
    where s.id = any (ids)
      and not exists (
          select 1 from public.messages as m where m.user_id = s.user_id and m.id = s.id
      )
    union
    select 'words_of_no_message', d.user_id, d.message_id
    from search.documents as d
    where d.message_id = any (ids)
      and not exists (
          select 1 from public.messages as m where m.user_id = d.user_id and m.id = d.message_id
      )
    union
    select 'import_left_behind', p.user_id, p.import_id
    from private.import_parts as p
    where p.import_id = any (ids)
    group by p.user_id, p.import_id
    having max(p.taken_at) < now() - interval '1 hour';
$$;

comment on function private.find_left_behind is 'Summaries and words of messages that are gone, and imports that nobody goes on with, of these.';

-- Repairs settled_turn_without_reply, turn_without_worker. A turn with a lease has a worker.
create function private.settle_by_reply(user_id uuid, turn_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
    v_conversation private.conversations;
    v_request public.messages;
begin
    select t.* into v_turn
    from public.turns as t
    where t.user_id = settle_by_reply.user_id and t.id = settle_by_reply.turn_id
      and (t.status <> 'running' or t.lease_expires_at <= clock_timestamp())
    for update;

    update public.turns as t
    set status = case
            when t.status <> 'running' then t.status
            when m.metadata ->> 'success' = 'true' then 'completed'
            else 'interrupted'
        end,
        draft = '',
        draft_parts = '[]',
        finished_at = coalesce(t.finished_at, m.created_at)
    from public.messages as m
    where t.user_id = v_turn.user_id and t.id = v_turn.id
      and m.user_id = t.user_id and m.turn_id = t.id
      and m.role = 'assistant';

    if found then
        return true;
    end if;

    -- Only a running turn can be interrupted, and a conversation has one of them: one that was settled
    -- and lost its reply waits for that one, and runs for this moment.
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = v_turn.user_id and c.id = v_turn.conversation_id
      and not exists (
          select 1
          from public.turns as t
          where t.user_id = c.user_id and t.conversation_id = c.id
            and t.id <> v_turn.id
            and t.status = 'running'
      );

    if not found then
        return false;
    end if;

    update public.turns as t
    set status = 'running',
        finished_at = null
    where t.user_id = v_turn.user_id and t.id = v_turn.id
      and t.status <> 'running';

    -- The reply goes where the turn's message is: if that is not on the active path, to a branch of its
    -- own beside it.
    v_request := private.message_of_turn(user_id, v_turn);
    if not v_request.seq
        <@ private.path_to(user_id, v_conversation, v_conversation.active_branch)
    then
        perform private.begin_branch(
            user_id, v_conversation.id, v_request.branch, v_request.seq, v_conversation.last_seq + 1
        );

        perform private.interrupt_turn(user_id, turn_id);

        -- What is shown stays so.
        update private.conversations as c
        set active_branch = v_conversation.active_branch
        where c.user_id = v_turn.user_id and c.id = v_conversation.id;
    else
        perform private.interrupt_turn(user_id, turn_id);
    end if;
    return true;
end;
$$;

comment on function private.settle_by_reply is 'Settles a turn without a worker by its stored reply; where there is none, interrupts it.';

-- What must hold of the stored rows after any run is checked, and repaired. Constraints keep most of
-- it; a restore, a dropped constraint or a hand that bypassed them is what is looked for. What is wrong,
-- and how it is repaired, stands with what it is about: places, owners, turns. Here are the steps: the
-- rows of one table after the other are checked by their ids, a page at a time, and what was found of a
-- user is repaired. Live events are not looked at: they are Realtime's, which drops them after three days.

-- In the order in which a repair works: owners and places come before replies, which are inserted where
-- those are right.
create function private.list_checks()
returns text[]
language sql immutable security invoker set search_path = ''
as $$
    select array[
        'turn_without_message', 'message_of_unknown_turn', 'conversation_missing', 'key_used_twice',
        'row_of_another_owner', 'seq_gap', 'seq_tie', 'created_at_out_of_order', 'last_seq_wrong',
        'branch_wrong', 'turn_with_two_replies', 'settled_turn_without_reply', 'turn_without_worker',
        'draft_left_behind', 'import_left_behind', 'summary_of_no_message', 'words_of_no_message',
        'watermark_too_high', 'content_not_of_parts'
    ];
$$;

comment on function private.list_checks is 'The names of all checks.';

-- What was written of late, and no more than a few thousand rows of it: no proof, but cheap.
create function private.list_newest(since timestamptz, lost_since timestamptz)
returns table (stage text, ids uuid[])
language sql stable security invoker set search_path = ''
as $$
    with latest as (
        select m.id, m.conversation_id, m.turn_id, m.created_at
        from public.messages as m
        where (m.created_at at time zone 'utc') between (since at time zone 'utc') and 'infinity'
        order by m.created_at desc
        limit 2000
    ),
    newest as (
        select l.conversation_id as id
        from latest as l
        group by l.conversation_id
        order by max(l.created_at) desc
        limit 100
    ),
    stuck as (
        select t.id, t.conversation_id
        from public.turns as t
        where t.status = 'running'
          and t.lease_expires_at < lost_since
        limit 100
    )
    select 'private.conversations', array(
        select id from newest union select conversation_id from stuck
    )
    union all
    select 'public.messages', array(select id from latest)
    union all
    select 'public.turns', array(
        select turn_id from latest where turn_id is not null union select id from stuck
    );
$$;

comment on function private.list_newest is 'The two thousand newest messages from a moment on, their turns and the hundred newest of their conversations; and a hundred turns that lost their worker, with theirs.';

create function private.find_broken(stage text, ids uuid[], lost_since timestamptz)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(to_jsonb(b)), '[]')
    from (
        select * from private.find_broken_conversations(ids)
        where coalesce(stage = 'private.conversations', true)
        union
        select * from private.find_broken_messages(ids)
        where coalesce(stage = 'public.messages', true)
        union
        select * from private.find_broken_turns(ids, lost_since)
        where coalesce(stage = 'public.turns', true)
        union
        select * from private.find_left_behind(ids)
        where coalesce(
            stage in ('public.summaries', 'search.documents', 'private.import_parts'), true
        )
    ) as b;
$$;

comment on function private.find_broken is 'What is broken of these rows of a table, or of whichever have these ids: [{name, user_id, id}].';

-- A listing: it reads over all users, and repair_invariants then writes for one. Runs as its owner,
-- because nobody is granted the search index, which holds content too.
create function public.check_invariants(
    grace_seconds integer default 120,
    since timestamptz default null,
    after jsonb default null
)
returns jsonb
language plpgsql stable security definer set search_path = ''
set jit = off -- compiling takes longer than most of these queries
as $$
declare
    c_stages constant text[] := array[
        'private.conversations', 'public.messages', 'public.turns', 'public.summaries',
        'search.documents', 'private.import_parts'
    ];
    c_first constant uuid := '00000000-0000-0000-0000-000000000000';
    v_lost_since constant timestamptz := now() - make_interval(secs => grace_seconds);
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_stage text := coalesce(after ->> 'stage', c_stages[1]);
    v_id uuid := coalesce((after ->> 'id')::uuid, c_first);
    v_ids uuid[];
    v_found jsonb := '[]';
    v_rows bigint := 0;
begin
    if since is not null then
        for v_stage, v_ids in select * from private.list_newest(since, v_lost_since) loop
            v_found := v_found || private.find_broken(v_stage, v_ids, v_lost_since);
            v_rows := v_rows + cardinality(v_ids);
        end loop;
        v_stage := null;
    end if;

    while v_stage is not null loop
        execute format(
            'select array(select distinct %1$I from %2$s where %1$I > $1 order by %1$I limit 2000)',
            case v_stage
                when 'search.documents' then 'message_id'
                when 'private.import_parts' then 'import_id'
                else 'id'
            end,
            v_stage
        ) into v_ids using v_id;
        v_found := v_found || private.find_broken(v_stage, v_ids, v_lost_since);
        v_rows := v_rows + cardinality(v_ids);
        v_id := v_ids[cardinality(v_ids)];

        if v_id is null then
            v_stage := c_stages[array_position(c_stages, v_stage) + 1];
            v_id := c_first;
        end if;
        exit when clock_timestamp() > v_until or jsonb_array_length(v_found) > 10000;
    end loop;

    return jsonb_build_object(
        'checks', to_jsonb(private.list_checks()),
        'broken', (
            select coalesce(jsonb_agg(distinct f.row), '[]')
            from jsonb_array_elements(v_found) as f (row)
            -- A step looks at what waits for the index; a look at what is new has no time for it.
            where since is null or f.row ->> 'name' <> 'watermark_too_high'
        ),
        'rows', v_rows,
        'next', case when v_stage is not null then
            jsonb_build_object('stage', v_stage, 'id', v_id)
        end
    );
end;
$$;

revoke all on function public.check_invariants from public, anon, authenticated, service_role;
grant execute on function public.check_invariants to service_role;
comment on function public.check_invariants is 'A step of a check of everything: {checks: the names of all, broken: [{name, user_id, id}], rows looked at, next: the after of the next step, or null}. The id is that of a conversation for places, owners and missing ones, else of the row. A running turn counts as without a worker when its lease is over for longer than the grace. With since it is one cheap step, and looks only where list_newest says.';

-- What was found may be repaired by now, or be something else's name: a row is checked once more, and
-- what is done to a conversation changes nothing of one that is whole.
create function private.repair_broken(user_id uuid, check_name text, broken_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    case check_name
        when 'conversation_missing' then
            return private.recover_conversation(user_id, broken_id);
        when 'row_of_another_owner' then
            return private.give_to_owner(user_id, broken_id);
        when 'seq_gap', 'seq_tie', 'created_at_out_of_order' then
            return private.renumber_conversation(user_id, broken_id);
        when 'last_seq_wrong', 'branch_wrong' then
            return private.recount_conversation(user_id, broken_id);
        when 'watermark_too_high' then
            return private.lower_watermark(user_id, broken_id);
        when 'settled_turn_without_reply', 'turn_without_worker' then
            return private.settle_by_reply(user_id, broken_id);
        else
            if not private.find_broken(null, array[broken_id], now()) @> jsonb_build_array(
                jsonb_build_object('name', check_name, 'user_id', user_id, 'id', broken_id)
            ) then
                return false;
            end if;
    end case;

    case check_name
        when 'message_of_unknown_turn' then
            update public.messages as m
            set turn_id = null
            where m.user_id = repair_broken.user_id and m.id = repair_broken.broken_id;

        when 'key_used_twice' then
            update public.turns as t
            set idempotency_key = left(t.idempotency_key, 218) || '-' || t.id
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id;

        when 'turn_with_two_replies' then -- the first one is the turn's
            update public.messages as m
            set turn_id = null
            where m.user_id = repair_broken.user_id and m.turn_id = repair_broken.broken_id
              and m.role = 'assistant'
              and m.id <> (
                  select o.id
                  from public.messages as o
                  where o.user_id = m.user_id and o.turn_id = m.turn_id
                    and o.role = 'assistant'
                  order by o.seq, o.id
                  limit 1
              );

        when 'draft_left_behind' then
            update public.turns as t
            set draft = '',
                draft_parts = '[]'
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id;

        when 'summary_of_no_message' then
            delete from public.summaries as s
            where s.user_id = repair_broken.user_id and s.id = repair_broken.broken_id;

        when 'words_of_no_message' then
            delete from search.documents as d
            where d.user_id = repair_broken.user_id and d.message_id = repair_broken.broken_id;

        when 'import_left_behind' then
            delete from private.import_parts as p
            where p.user_id = repair_broken.user_id and p.import_id = repair_broken.broken_id;

        else
            return false;
    end case;

    return found;
end;
$$;

comment on function private.repair_broken is 'Repairs one thing that a check found; false where it could not.';

-- Runs as its owner, because messages are append-only for everybody, the service included: this
-- is the one way to change a stored message's place, owner or turn. It never changes what one
-- says, and never deletes one.
create function public.repair_invariants(user_id uuid, broken jsonb)
returns jsonb
language plpgsql volatile security definer set search_path = ''
set lock_timeout = '2s'
as $$
declare
    v_broken record;
    v_counts jsonb := '{}';
begin
    -- Whoever writes to one goes first; in the order in which whoever locks several takes them.
    perform 1
    from public.conversations as c
    where c.user_id = repair_invariants.user_id
      and c.id in (
          select coalesce(t.conversation_id, b.id)
          from jsonb_to_recordset(broken) as b (id uuid)
          left join public.turns as t on t.user_id = repair_invariants.user_id and t.id = b.id
      )
    order by c.id
    for update;

    for v_broken in
        select b.name, b.id
        from jsonb_to_recordset(broken) as b (name text, id uuid)
        order by array_position(private.list_checks(), b.name)
    loop
        begin
            if private.repair_broken(user_id, v_broken.name, v_broken.id) then
                v_counts := v_counts || jsonb_build_object(
                    v_broken.name, coalesce((v_counts ->> v_broken.name)::integer, 0) + 1
                );
            end if;
        exception
            when integrity_constraint_violation then
                null; -- something else is wrong with it, which is repaired first or by hand
        end;
    end loop;

    return jsonb_build_object('repaired', v_counts);
end;
$$;

revoke all on function public.repair_invariants from public, anon, authenticated, service_role;
grant execute on function public.repair_invariants to service_role;
comment on function public.repair_invariants is 'Repairs what check_invariants found of one user, [{name, id}], and says how much of each: {repaired: {name: count}}. Never deletes a message and never changes its text. Leaves a turn whose message is lost, and rows of accounts that are gone. What a repair brings to light, the next check finds.';

-- What runs by itself, where the database has pg_cron; elsewhere a scheduler calls the endpoints of
-- the same names.

-- A procedure that commits after each call, so that one transaction touches one user, and one who
-- can't be served keeps no other waiting. It can't have settings of its own, search_path included:
-- every name in it says its schema.
create procedure private.sweep(job text, seconds integer)
language plpgsql security invoker
as $$
declare
    v_until constant timestamptz := clock_timestamp() + make_interval(secs => seconds);
    v_next jsonb;
    v_page jsonb;
    v_item jsonb;
    v_user_id uuid;
    v_step jsonb;
    v_more boolean;
begin
    loop
        v_page := case job
            when 'sweep-turns' then public.list_expired_turns()
            when 'sweep-removals' then public.list_removals()
            when 'sweep-search-index' then public.list_users_to_index()
            when 'apply-retention' then public.list_users_due_for_retention(
                after_updated_at => (v_next ->> 'after_updated_at')::timestamptz,
                after_id => (v_next ->> 'after_id')::uuid
            )
        end;
        v_next := nullif(v_page -> 'next', 'null');
        v_more := v_next is not null;

        for v_item in
            select jsonb_array_elements(
                coalesce(v_page -> 'users', v_page -> 'turns')
            )
        loop
            exit when clock_timestamp() > v_until;
            v_user_id := coalesce(v_item ->> 'user_id', v_item #>> '{}');
            begin
                case job
                    when 'sweep-turns' then
                        perform public.settle_expired_turn(
                            v_user_id, (v_item ->> 'conversation_id')::uuid
                        );
                    when 'sweep-removals' then
                        v_step := public.continue_removal(v_user_id);
                        v_more := v_more or (v_step -> 'more')::boolean;
                    when 'sweep-search-index' then
                        v_step := public.index_messages(v_user_id);
                        v_more := v_more
                            or (v_step -> 'more')::boolean and (v_step -> 'indexed')::integer > 0;
                    when 'apply-retention' then
                        perform public.apply_retention(v_user_id, dry_run => false);
                end case;
            exception
                when others then
                    raise warning '%: % is left for the next time: %', job, v_item, sqlerrm;
            end;
            commit;
        end loop;

        exit when not v_more or clock_timestamp() > v_until;
        perform pg_sleep(0.1); -- what is left may be in somebody else's hands
    end loop;
end;
$$;

comment on procedure private.sweep is 'Takes a listing and calls its function for each, one user a transaction, in rounds while there is more, for so many seconds.';

-- Called again whenever pg_cron has been switched on: a job of the same name is replaced.
create function private.schedule_jobs()
returns text[]
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    v_job record;
    v_names text[] := '{}';
begin
    if not exists (select 1 from pg_extension where extname = 'pg_cron') then
        return v_names;
    end if;

    for v_job in select * from private.jobs() loop
        perform cron.schedule(v_job.name, v_job.schedule, v_job.command);
        v_names := v_names || v_job.name;
    end loop;
    return v_names;
end;
$$;

comment on function private.schedule_jobs is 'Schedules the jobs where the database has pg_cron, and names them. Calling it again does no harm.';

create function private.jobs()
returns table (name text, schedule text, command text)
language sql immutable security invoker set search_path = ''
as $$
    values
        ('sweep-turns', '* * * * *', 'call private.sweep(''sweep-turns'', 30)'),
        ('sweep-removals', '* * * * *', 'call private.sweep(''sweep-removals'', 50)'),
        ('sweep-search-index', '* * * * *', 'call private.sweep(''sweep-search-index'', 30)'),
        ('apply-retention', '*/15 * * * *', 'call private.sweep(''apply-retention'', 100)');
$$;

comment on function private.jobs is 'What pg_cron is to run, and when.';

do $$
begin
    perform private.schedule_jobs();
exception
    when others then
        raise warning 'the jobs are not scheduled: %', sqlerrm
            using hint = 'python -m shared.doctor says what to do.';
end;
$$;

-- Runs as its owner, because only the owner of a job sees it.
create function public.check_platform()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
    v_missing jsonb := '[]';
    v_jobs text[];
begin
    if not exists (
        select 1
        from pg_policies
        where schemaname = 'realtime'
          and tablename = 'messages'
          and policyname = 'listen_to_own_conversation'
    ) then
        v_missing := v_missing || jsonb_build_object(
            'name', 'listen_policy', 'remedy', private.listen_policy()
        );
    end if;

    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        begin
            execute 'select array_agg(jobname::text) from cron.job' into v_jobs;
        exception
            when insufficient_privilege then null; -- so none of them are ours
        end;
        if exists (
            select 1 from private.jobs() as j where j.name <> all (coalesce(v_jobs, '{}'))
        ) then
            v_missing := v_missing || jsonb_build_object(
                'name', 'scheduled_jobs', 'remedy', 'select private.schedule_jobs();'
            );
        end if;
    end if;

    return jsonb_build_object('missing', v_missing);
end;
$$;

revoke all on function public.check_platform from public, anon, authenticated, service_role;
grant execute on function public.check_platform to service_role;
comment on function public.check_platform is 'What the platform has refused or didn''t have when the schema was installed, each with the SQL that mends it: {missing: [{name, remedy}]}.';

-- Postgres lets everybody run a new function. In the two schemas that hold nothing but ours only those
-- may whom a function names below it; in public, where a project has more, each function is withheld
-- by itself.
revoke all on all routines in schema private from public;
revoke all on all routines in schema search from public;
