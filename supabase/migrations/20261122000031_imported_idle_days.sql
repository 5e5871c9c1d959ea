-- Importing is a use of a conversation, as restoring is: its messages keep the times they had, but
-- its idle days count from the import. They counted from the last message, so that the next run
-- archived or deleted what somebody had brought in a minute before. Grants and comment stay.

create or replace function public.retention_due(
    due_at timestamptz,
    most integer,
    user_id uuid default null,
    project_id uuid default null,
    among uuid[] default null
)
returns table (conversation_id uuid, action text)
language sql
stable
security invoker
set search_path = ''
as $$
    select c.id, case when is_over.delete then 'delete' else 'archive' end
    from public.conversations as c
    -- The one policy that applies: the most specific.
    cross join lateral (
        select p.archive_after_days, p.delete_after_days
        from public.retention_policies as p
        where p.user_id = c.user_id
           or p.project_id = c.project_id
           or num_nonnulls(p.user_id, p.project_id) = 0
        order by p.user_id nulls last, p.project_id nulls last
        limit 1
    ) as policy
    cross join lateral (
        select
            idle.since < due_at - make_interval(days => policy.delete_after_days) as delete,
            c.archived_at is null
                and idle.since < due_at - make_interval(days => policy.archive_after_days) as archive
        from (
            select greatest(
                c.updated_at, c.restored_at, (c.imported ->> 'at')::timestamptz
            ) as since
        ) as idle
    ) as is_over
    where (is_over.delete or is_over.archive)
      -- No policy removes what is younger than this; the index knows what is not.
      and c.updated_at < due_at - make_interval(days => (
          select min(least(p.archive_after_days, p.delete_after_days))
          from public.retention_policies as p
      ))
      and (retention_due.user_id is null or c.user_id = retention_due.user_id)
      and (retention_due.project_id is null or c.project_id = retention_due.project_id)
      and (among is null or c.id = any(among))
      and not public.is_held(c.id, c.user_id)
      and not exists (
          select 1
          from public.turns as t
          where t.conversation_id = c.id
            and t.status = 'running'
      )
    order by c.updated_at, c.id
    limit most;
$$;
