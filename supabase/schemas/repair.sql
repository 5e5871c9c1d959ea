-- How what find_broken found is mended: one thing at a time, then all of it in an order that works.

create function private.repair_broken(check_name text, broken_id uuid)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation_id uuid;
    v_user_id uuid;
begin
    case check_name
        when 'message_of_unknown_turn' then
            update public.messages as m
            set turn_id = null
            where m.id = repair_broken.broken_id
              and not exists (select 1 from public.turns as t where t.id = m.turn_id);

        when 'orphan_message' then
            select m.conversation_id, m.user_id into v_conversation_id, v_user_id
            from public.messages as m
            where m.id = repair_broken.broken_id;
            return private.recover_conversation(v_conversation_id, v_user_id);

        when 'orphan_turn' then
            select t.conversation_id, t.user_id into v_conversation_id, v_user_id
            from public.turns as t
            where t.id = repair_broken.broken_id;
            return private.recover_conversation(v_conversation_id, v_user_id);

        when 'key_used_twice' then
            update public.turns as t
            set idempotency_key = left(t.idempotency_key, 218) || '-' || t.id
            where t.id = repair_broken.broken_id;

        when 'message_of_another_owner' then
            update public.messages as m
            set user_id = c.user_id
            from public.conversations as c
            where c.id = m.conversation_id
              and m.id = repair_broken.broken_id;

        when 'turn_of_another_owner' then
            -- The right owner may have used the same key.
            update public.turns as t
            set user_id = c.user_id,
                idempotency_key = case
                    when exists (
                        select 1
                        from public.turns as o
                        where o.user_id = c.user_id
                          and o.idempotency_key = t.idempotency_key
                          and o.id <> t.id
                    ) then left(t.idempotency_key, 218) || '-' || t.id
                    else t.idempotency_key
                end
            from public.conversations as c
            where c.id = t.conversation_id
              and t.id = repair_broken.broken_id;

        when 'seq_gap', 'seq_tie', 'created_at_out_of_order' then
            return private.renumber_conversation(broken_id);

        when 'last_seq_wrong' then
            return private.recount_conversation(broken_id);

        when 'turn_with_two_replies' then
            return private.drop_second_replies(broken_id);

        when 'settled_turn_without_reply', 'turn_without_worker' then
            return private.answer_turn(broken_id);
    end case;

    return found;
end;
$$;

revoke all on function private.repair_broken from public, anon, authenticated, service_role;
comment on function private.repair_broken is
    'Mends one thing that a check found; false where it could not.';

-- Runs as its owner, because messages are append-only for everybody, the service included: this
-- is the one way to change a stored message's place, owner or turn. It never changes what one
-- says, and never deletes one.
create function public.repair_invariants(grace_seconds integer default 120)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set statement_timeout = '10min'
as $$
declare
    -- Owners and places come before replies, which are inserted where those are right.
    c_order constant text[] := array[
        'message_of_unknown_turn', 'orphan_message', 'orphan_turn', 'key_used_twice',
        'message_of_another_owner', 'turn_of_another_owner', 'seq_gap', 'seq_tie',
        'created_at_out_of_order', 'last_seq_wrong', 'turn_with_two_replies',
        'settled_turn_without_reply', 'turn_without_worker'
    ];
    v_found jsonb;
    v_name text;
    v_id uuid;
    v_is_mended boolean;
    v_counts jsonb := '{}';
begin
    -- What one repair brings to light, the next round mends.
    for v_round in 1..5 loop
        v_found := private.find_broken(grace_seconds);
        v_is_mended := false;

        foreach v_name in array c_order loop
            for v_id in
                select jsonb_array_elements_text(v_found -> v_name)::uuid
            loop
                if private.repair_broken(v_name, v_id) then
                    v_is_mended := true;
                    v_counts := v_counts || jsonb_build_object(
                        v_name, coalesce((v_counts ->> v_name)::integer, 0) + 1
                    );
                end if;
            end loop;
        end loop;

        exit when not v_is_mended;
    end loop;

    return jsonb_build_object('repaired', (
        select jsonb_agg(
            jsonb_build_object('name', name, 'repaired', coalesce((v_counts ->> name)::integer, 0))
            order by place
        )
        from unnest(c_order) with ordinality as repairs (name, place)
    ));
end;
$$;

revoke all on function public.repair_invariants from public, anon, authenticated, service_role;
grant execute on function public.repair_invariants to service_role;
comment on function public.repair_invariants is
    'Mends what check_invariants finds, and says how much of each. Never deletes a message and never changes its text. Leaves a turn whose message is lost, and rows of accounts that are gone.';
