-- What a repair does about branches. Granted to nobody: repair_invariants alone calls it.

-- Where no tree can be made of the branches, all messages are on one path, in the order of writing.
create function private.mend_branches(user_id uuid, conversation_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_count integer;
begin
    if not private.lock_conversation(user_id, conversation_id) then
        return false;
    end if;

    v_count := private.count_branches(user_id, conversation_id);
    if v_count is null then
        delete from public.branches as b
        where b.user_id = mend_branches.user_id
          and b.conversation_id = mend_branches.conversation_id;
        v_count := 0;
    end if;

    update private.conversations as c
    set last_branch = v_count,
        active_branch = case
            when c.active_branch between 0 and v_count then c.active_branch
            else v_count
        end
    where c.user_id = mend_branches.user_id and c.id = mend_branches.conversation_id;

    update public.messages as m
    set branch = private.branch_at(m.user_id, m.conversation_id, m.seq)
    where m.user_id = mend_branches.user_id and m.conversation_id = mend_branches.conversation_id
      and (v_count > 0 or m.branch <> 0)
      and m.branch <> private.branch_at(m.user_id, m.conversation_id, m.seq);

    return true;
end;
$$;

comment on function private.mend_branches is 'Gives a conversation''s messages the branches that their places are in, and the conversation their number.';

-- A reply is written to the active branch: where that is another path, to one of its own meanwhile.
create function private.interrupt_beside(user_id uuid, turn public.turns)
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_request constant public.messages := private.message_of_turn(user_id, turn);
    v_conversation private.conversations;
    v_is_elsewhere boolean;
begin
    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = interrupt_beside.user_id and c.id = turn.conversation_id;

    v_is_elsewhere := not v_request.seq
        <@ private.path_to(user_id, v_conversation, v_conversation.active_branch);

    if v_is_elsewhere then
        perform private.begin_branch(
            user_id, turn.conversation_id, v_request.branch, v_request.seq,
            v_conversation.last_seq + 1
        );
    end if;

    perform private.interrupt_turn(user_id, turn.id);

    if v_is_elsewhere then
        update private.conversations as c
        set active_branch = v_conversation.active_branch
        where c.user_id = interrupt_beside.user_id and c.id = turn.conversation_id;
    end if;
end;
$$;

comment on function private.interrupt_beside is 'Interrupts a turn so that its reply is on a path with its message, whichever path is active.';
