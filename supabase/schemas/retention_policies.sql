-- How long conversations are kept: the policies, of a user, of a project, or of everybody.

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

comment on table private.retention_policies is 'After how many idle days conversations are archived and deleted: of a user, else of a project, else of everybody. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.retention_policies.user_id is 'Whose conversations; null with a null project_id is everybody''s.';
comment on column private.retention_policies.archive_after_days is 'Null is never. A policy of two nulls keeps what a wider one would remove.';

create function public.set_retention_policy(
    user_id uuid default null,
    project_id uuid default null,
    archive_after_days integer default null,
    delete_after_days integer default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
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
comment on function public.set_retention_policy is 'Sets the one policy of a user, of a project, or of everybody. Raises PT404.';

create function public.list_retention_policies(
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language sql stable security invoker set search_path = ''
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

revoke all on function public.list_retention_policies from public, anon, authenticated, service_role;
grant execute on function public.list_retention_policies to service_role;
comment on function public.list_retention_policies is 'The retention policies, oldest first, 1,000 at most.';

create function public.delete_retention_policy(policy_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
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

revoke all on function public.delete_retention_policy from public, anon, authenticated, service_role;
grant execute on function public.delete_retention_policy to service_role;
comment on function public.delete_retention_policy is 'Removes a retention policy: a wider one applies from then on, or none. Raises PT404.';
