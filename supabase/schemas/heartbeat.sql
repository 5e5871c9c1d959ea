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
