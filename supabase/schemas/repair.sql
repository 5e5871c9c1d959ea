-- How what check_invariants found of a user is mended: one thing at a time, in an order that works.
-- Each looks again, since what was found may be mended by now, or something else's name.

create function private.repair_broken(user_id uuid, check_name text, broken_id uuid)
returns boolean
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    case check_name
        when 'message_of_unknown_turn' then
            update public.messages as m
            set turn_id = null
            where m.user_id = repair_broken.user_id and m.id = repair_broken.broken_id
              and not exists (
                  select 1
                  from public.turns as t
                  where t.user_id = m.user_id and t.id = m.turn_id
              );

        when 'key_used_twice' then
            update public.turns as t
            set idempotency_key = left(t.idempotency_key, 218) || '-' || t.id
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id
              and exists (
                  select 1
                  from public.turns as o
                  where o.user_id = t.user_id
                    and o.idempotency_key = t.idempotency_key
                    and o.id <> t.id
              );

        when 'conversation_missing' then
            return private.recover_conversation(user_id, broken_id);

        when 'row_of_another_owner' then
            return private.give_to_owner(user_id, broken_id);

        when 'seq_gap', 'seq_tie', 'created_at_out_of_order' then
            return private.renumber_conversation(user_id, broken_id);

        when 'last_seq_wrong' then
            return private.recount_conversation(user_id, broken_id);

        when 'branch_wrong' then
            return private.mend_branches(user_id, broken_id);

        when 'turn_with_two_replies' then
            return private.drop_second_replies(user_id, broken_id);

        when 'settled_turn_without_reply', 'turn_without_worker' then
            return private.settle_by_reply(user_id, broken_id);

        when 'draft_left_behind' then
            update public.turns as t
            set draft = '',
                draft_parts = '[]'
            where t.user_id = repair_broken.user_id and t.id = repair_broken.broken_id
              and t.status <> 'running';

        when 'import_left_behind' then
            delete from private.import_parts as p
            where p.user_id = repair_broken.user_id
              and p.import_id = repair_broken.broken_id
              and p.taken_at < now() - interval '1 hour';

        when 'summary_of_no_message' then
            delete from public.summaries as s
            where s.user_id = repair_broken.user_id and s.id = repair_broken.broken_id
              and not exists (
                  select 1 from public.messages as m where m.user_id = s.user_id and m.id = s.id
              );

        when 'words_of_no_message' then
            delete from search.documents as d
            where d.user_id = repair_broken.user_id
              and d.message_id = repair_broken.broken_id
              and not exists (
                  select 1
                  from public.messages as m
                  where m.user_id = d.user_id and m.id = d.message_id
              );

        when 'watermark_too_high' then
            return private.lower_watermark(user_id, broken_id);

        else
            return false;
    end case;

    return found;
end;
$$;

comment on function private.repair_broken is 'Mends one thing that a check found; false where it could not.';

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
    for v_broken in
        select b.name, b.id
        from jsonb_to_recordset(broken) as b (name text, id uuid)
        order by array_position(private.list_checks(), b.name)
    loop
        if private.repair_broken(user_id, v_broken.name, v_broken.id) then
            v_counts := v_counts || jsonb_build_object(
                v_broken.name, coalesce((v_counts ->> v_broken.name)::integer, 0) + 1
            );
        end if;
    end loop;

    return jsonb_build_object('repaired', v_counts);
end;
$$;

revoke all on function public.repair_invariants from public, anon, authenticated, service_role;
grant execute on function public.repair_invariants to service_role;
comment on function public.repair_invariants is 'Mends what check_invariants found of one user, [{name, id}], and says how much of each: {repaired: {name: count}}. Never deletes a message and never changes its text. Leaves a turn whose message is lost, and rows of accounts that are gone. What a repair brings to light, the next check finds.';
