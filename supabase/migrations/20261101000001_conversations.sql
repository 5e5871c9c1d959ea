-- A conversation is the unit of ownership and of order: everything below hangs on it,
-- and its row lock is what makes a message's place in it certain.

create table public.conversations (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null default auth.uid(),
    project_id uuid,
    title text not null default 'New Chat',
    metadata jsonb not null default '{}',
    last_seq bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    archived_at timestamptz,

    constraint conversations_pkey primary key (id),
    constraint conversations_id_user_id_key unique (id, user_id),
    constraint conversations_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint conversations_title_length check (char_length(title) between 1 and 200),
    constraint conversations_metadata_object check (jsonb_typeof(metadata) = 'object'),
    constraint conversations_last_seq_positive check (last_seq >= 0)
);

create index idx_conversations_user_id
    on public.conversations (user_id, updated_at desc, id desc);

alter table public.conversations enable row level security;

create policy select_own on public.conversations
    for select to authenticated
    using (user_id = (select auth.uid()));

create policy insert_own on public.conversations
    for insert to authenticated
    with check (user_id = (select auth.uid()));

create policy update_own on public.conversations
    for update to authenticated
    using (user_id = (select auth.uid()))
    with check (user_id = (select auth.uid()));

create policy delete_own on public.conversations
    for delete to authenticated
    using (user_id = (select auth.uid()));

-- Withheld: last_seq, created_at and updated_at are the database's to write (and id, for clients),
-- and the owner never changes.
revoke all on table public.conversations from public, anon, authenticated, service_role;
grant select, delete on table public.conversations to authenticated;
grant insert (user_id, project_id, title, metadata) on table public.conversations to authenticated;
grant update (project_id, title, metadata, archived_at) on table public.conversations to authenticated;
grant select, delete on table public.conversations to service_role;
grant insert (id, user_id, project_id, title, metadata, archived_at) on table public.conversations
    to service_role;
grant update (project_id, title, metadata, archived_at) on table public.conversations to service_role;

comment on table public.conversations is
    'One conversation between a user and the AI. Owned by user_id alone.';
comment on column public.conversations.last_seq is
    'The seq of the newest message; 0 while there is none.';
comment on column public.conversations.updated_at is
    'Last activity: the created_at of the newest message. Renaming and archiving leave it alone.';
