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
