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
