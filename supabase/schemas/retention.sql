-- How long conversations are kept: policies that archive and delete what lies idle.

create table private.retention_policies (
    id uuid not null default gen_random_uuid(),
    user_id uuid,
    project_id uuid,
    archive_after_days integer,
    delete_after_days integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint retention_policies_pkey primary key (id),
    constraint retention_policies_scope_key unique nulls not distinct (user_id, project_id),
    constraint retention_policies_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint retention_policies_one_scope check (num_nonnulls(user_id, project_id) <= 1),
    constraint retention_policies_archive_after check (archive_after_days between 1 and 36500),
    constraint retention_policies_delete_after check (delete_after_days between 1 and 36500),
    constraint retention_policies_archive_first check (archive_after_days <= delete_after_days)
);

alter table private.retention_policies enable row level security;

create policy withheld on private.retention_policies for select to authenticated using (false);

-- Withheld from clients: everything. What is kept of a user is the operator's to say.
revoke all on table private.retention_policies from public, anon, authenticated, service_role;
grant select, delete on table private.retention_policies to service_role;
grant insert (user_id, project_id, archive_after_days, delete_after_days)
    on table private.retention_policies to service_role;
grant update (archive_after_days, delete_after_days, updated_at)
    on table private.retention_policies to service_role;

comment on table private.retention_policies is
    'After how many idle days conversations are archived and deleted: of a user, else of a project, else of everybody. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.retention_policies.user_id is
    'Whose conversations; null with a null project_id is everybody''s.';
comment on column private.retention_policies.archive_after_days is
    'Null is never. A policy of two nulls keeps what a wider one would remove.';

create function public.set_retention_policy(
    user_id uuid default null,
    project_id uuid default null,
    archive_after_days integer default null,
    delete_after_days integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_policy jsonb;
begin
    insert into private.retention_policies
        (user_id, project_id, archive_after_days, delete_after_days)
    values
        (set_retention_policy.user_id, set_retention_policy.project_id,
         set_retention_policy.archive_after_days, set_retention_policy.delete_after_days)
    on conflict on constraint retention_policies_scope_key do update
    set archive_after_days = excluded.archive_after_days,
        delete_after_days = excluded.delete_after_days,
        updated_at = now()
    returning to_jsonb(retention_policies) into v_policy;

    return v_policy;
exception
    when foreign_key_violation then
        raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
end;
$$;

revoke all on function public.set_retention_policy from public, anon, authenticated, service_role;
grant execute on function public.set_retention_policy to service_role;
comment on function public.set_retention_policy is
    'Sets the one policy of a user, of a project, or of everybody. Raises PT404.';

create function public.list_retention_policies(
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'policies', coalesce(jsonb_agg(to_jsonb(p) order by p.created_at, p.id), '[]')
    )
    from (
        select p.*
        from private.retention_policies as p
        where (list_retention_policies.user_id is null or p.user_id = list_retention_policies.user_id)
          and (
              list_retention_policies.project_id is null
              or p.project_id = list_retention_policies.project_id
          )
        order by p.created_at, p.id
        limit 1000
    ) as p;
$$;

revoke all on function public.list_retention_policies
    from public, anon, authenticated, service_role;
grant execute on function public.list_retention_policies to service_role;
comment on function public.list_retention_policies is
    'The retention policies, oldest first, 1,000 at most.';

create function public.delete_retention_policy(policy_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    delete from private.retention_policies as p
    where p.id = delete_retention_policy.policy_id;

    if not found then
        raise exception 'Retention policy not found.'
            using errcode = 'PT404', detail = 'retention_policy_not_found';
    end if;
    return jsonb_build_object('id', policy_id);
end;
$$;

revoke all on function public.delete_retention_policy
    from public, anon, authenticated, service_role;
grant execute on function public.delete_retention_policy to service_role;
comment on function public.delete_retention_policy is
    'Removes a retention policy: a wider one applies from then on, or none. Raises PT404.';

-- Importing is a use of a conversation, as restoring is: its messages keep the times they had, but
-- its idle days count from the import.
create function private.retention_due(
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
        from private.retention_policies as p
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
          from private.retention_policies as p
      ))
      and (retention_due.user_id is null or c.user_id = retention_due.user_id)
      and (retention_due.project_id is null or c.project_id = retention_due.project_id)
      and (among is null or c.id = any(among))
      and not private.is_held(c.id, c.user_id)
      and not exists (
          select 1
          from public.turns as t
          where t.conversation_id = c.id
            and t.status = 'running'
      )
    order by c.updated_at, c.id
    limit most;
$$;

revoke all on function private.retention_due from public, anon, authenticated, service_role;
grant execute on function private.retention_due to service_role;
comment on function private.retention_due is
    'What retention is to do by a moment, longest idle first: the one rule, for the dry run and the real one. Leaves out what is held, and what has a running turn.';

-- A batch is bounded in messages too: one that takes longer than its caller waits would be undone
-- whole, and be the first again the next time.
create function public.apply_retention(
    dry_run boolean default true,
    most integer default 500,
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '10min'
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_now constant timestamptz := now();
    v_found integer;
    v_chosen uuid[];
    v_tried integer;
    v_archive uuid[];
    v_delete uuid[];
    v_removed jsonb;
begin
    select count(*),
           coalesce(
               array_agg(d.conversation_id) filter (where d.place <= most and d.ahead < c_messages),
               '{}'
           )
    into v_found, v_chosen
    from (
        select due.conversation_id,
               due.place,
               coalesce(sum(c.last_seq) filter (where due.action = 'delete') over (
                   order by due.place rows between unbounded preceding and 1 preceding
               ), 0) as ahead
        from private.retention_due(
            v_now, most + 1, apply_retention.user_id, apply_retention.project_id
        ) with ordinality as due (conversation_id, action, place)
        join public.conversations as c on c.id = due.conversation_id
    ) as d;

    v_tried := cardinality(v_chosen);

    if not dry_run then
        -- What somebody is writing to is in use: it is left for the next time.
        select coalesce(array_agg(locked.id), '{}')
        into v_chosen
        from (
            select c.id
            from public.conversations as c
            where c.id = any(v_chosen)
            order by c.id
            for update skip locked
        ) as locked;
    end if;

    -- Asked again, since only under the lock nobody writes, restores or places a hold any more.
    select
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'archive'), '{}'),
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'delete'), '{}')
    into v_archive, v_delete
    from private.retention_due(
        v_now, most, apply_retention.user_id, apply_retention.project_id, v_chosen
    ) as d;

    select jsonb_build_object(
        'conversations', cardinality(v_delete),
        'messages', (select count(*) from public.messages as m where m.conversation_id = any(v_delete)),
        'turns', (select count(*) from public.turns as t where t.conversation_id = any(v_delete))
    )
    into v_removed;

    if not dry_run then
        update public.conversations as c
        set archived_at = v_now
        where c.id = any(v_archive);

        delete from public.conversations as c
        where c.id = any(v_delete);
    end if;

    return jsonb_build_object(
        'dry_run', dry_run,
        'archived', cardinality(v_archive),
        'deleted', v_removed,
        'skipped', v_tried - cardinality(v_archive) - cardinality(v_delete),
        'more', v_found > v_tried
    );
end;
$$;

revoke all on function public.apply_retention from public, anon, authenticated, service_role;
grant execute on function public.apply_retention to service_role;
comment on function public.apply_retention is
    'Archives and deletes what the policies say, so many conversations at most, longest idle first; a dry run only counts. Skips what is being written to. Run by pg_cron where it exists, else by calling apply-retention.';
