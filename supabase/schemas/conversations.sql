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
