-- Messages are the record: append-only, in one total order for each conversation.
create table public.messages (
    id uuid not null default gen_random_uuid(),
    conversation_id uuid not null,
    role text not null,
    content text not null,
    generated_code text,
    metadata jsonb not null default '{}',
    user_id uuid not null,
    is_summary boolean not null default false,
    created_at timestamptz not null,
    seq bigint not null,
    turn_id uuid,

    constraint messages_pkey primary key (id),
    constraint messages_conversation_id_seq_key unique (conversation_id, seq),
    constraint messages_turn_id_role_key unique (turn_id, role),
    constraint messages_conversation_id_user_id_fkey foreign key (conversation_id, user_id)
        references public.conversations (id, user_id) on delete cascade,
    constraint messages_turn_id_fkey foreign key (turn_id)
        references public.turns (id) on delete cascade,
    constraint messages_role_known check (role in ('user', 'assistant', 'system')),
    constraint messages_summary_is_system check (not is_summary or role = 'system'),
    constraint messages_metadata_object check (jsonb_typeof(metadata) = 'object')
);

create index idx_messages_conversation_id
    on public.messages (conversation_id, created_at);

create index idx_messages_user_id on public.messages (user_id, created_at);

-- Lets the bounded check find the newest messages without reading the others: messages come in the
-- order of their created_at, so a few bytes for each megabyte are enough.
create index idx_messages_created_at
    on public.messages using brin (created_at) with (autosummarize = on);

-- A page is a range of seq in one conversation, read by its owner: one index knows all three. The
-- planner takes the owner and the conversation for two independent facts, and so a conversation for
-- a row or two, whatever its length: by an index on the first two, a page could cost all of it.
create index idx_messages_conversation_id_user_id_seq
    on public.messages (conversation_id, user_id, seq);

alter table public.messages enable row level security;

create policy select_own on public.messages
    for select to authenticated
    using (user_id = (select auth.uid()));

create policy insert_own_user_row on public.messages
    for insert to authenticated
    with check (
        user_id = (select auth.uid())
        and role = 'user'
        and not is_summary
        and turn_id is null
        and exists (
            select 1
            from public.conversations
            where conversations.id = messages.conversation_id
              and conversations.user_id = (select auth.uid())
        )
    );

-- Withheld from clients: id, seq, created_at, is_summary, turn_id and generated_code are not
-- theirs to write; role and user_id can be named, but the policy leaves them one value each.
-- Nobody updates a message, and nobody deletes one by itself: it goes with its conversation.
revoke all on table public.messages from public, anon, authenticated, service_role;
grant select on table public.messages to authenticated;
grant insert (conversation_id, user_id, role, content, metadata) on table public.messages to authenticated;
grant select, insert on table public.messages to service_role;

comment on table public.messages is
    'What was said, in order. Clients may read their own and add a user row. No policy for update, delete: the record is append-only, and goes with its conversation.';
comment on column public.messages.seq is
    'Place in the conversation: 1, 2, 3 ... without a gap, assigned by the database.';
comment on column public.messages.created_at is
    'Strictly grows within a conversation, so ordering by it is ordering by seq.';
comment on column public.messages.turn_id is
    'The turn that wrote this row; null for rows written outside one.';
comment on column public.messages.user_id is
    'The owner of the conversation, on replies too.';

-- A turn never points at a message that is not there. Checked at commit, because a turn and its
-- first message name each other.
alter table public.turns
    add constraint turns_user_message_id_fkey foreign key (user_message_id)
        references public.messages (id) deferrable initially deferred,
    add constraint turns_reply_message_id_fkey foreign key (reply_message_id)
        references public.messages (id) deferrable initially deferred;

create trigger messages_refuse_depth
    before insert or update of metadata on public.messages
    for each row
    when (jsonb_path_exists(new.metadata, 'strict $.**{128}'))
    execute function private.refuse_depth();

-- Runs as its owner, because a client may write a message but not the counter on its conversation.
create function private.assign_message_place()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_owner uuid;
begin
    new.user_id := coalesce(new.user_id, auth.uid());

    select user_id
    into v_owner
    from public.conversations
    where id = new.conversation_id
      and (new.user_id is null or user_id = new.user_id)
    for no key update;

    if v_owner is null or exists (select 1 from public.messages where id = new.id) then
        -- No such conversation, or someone else's: the policy (for a client) or the foreign key
        -- (for the service) refuses the row, with one and the same answer for both cases. Or a
        -- row that is there already, which `on conflict do nothing` must not use up a place for.
        new.user_id := coalesce(new.user_id, v_owner);
        new.seq := 0;
        new.created_at := now();
        return new;
    end if;

    update public.conversations
    set last_seq = last_seq + 1,
        updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
    where id = new.conversation_id
    returning last_seq, updated_at, user_id
    into new.seq, new.created_at, new.user_id;

    return new;
end;
$$;

revoke all on function private.assign_message_place from public, anon, authenticated, service_role;
comment on function private.assign_message_place is
    'Gives every message its seq and its created_at, under the lock of its conversation, whoever writes.';

-- An imported row comes with the place and the time it had. Only commit_import sets the flag. It
-- would help nobody else: clients can't name seq and created_at, which a row needs then. Nor are
-- there events, since nobody can be listening to a conversation that this transaction makes.
create trigger messages_assign_place
    before insert on public.messages
    for each row
    when (coalesce(current_setting('message_persistence.importing', true), '') <> 'on')
    execute function private.assign_message_place();
