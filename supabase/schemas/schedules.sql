-- What runs by itself, where the database has pg_cron; elsewhere a scheduler calls the endpoints of
-- the same names. Procedures that commit after each user, so that one transaction touches one user,
-- and one who can't be served keeps no other waiting. A procedure that commits can't have settings of
-- its own, search_path included: every name in it says its schema.

create procedure private.apply_retention()
language plpgsql security invoker
as $$
declare
    c_time constant interval := '100 seconds';
    v_started constant timestamptz := clock_timestamp();
    v_next pg_catalog.jsonb := '{}';
    v_page pg_catalog.jsonb;
    v_user_id uuid;
begin
    while v_next <> 'null' and clock_timestamp() <= v_started + c_time loop
        v_page := public.list_users_due_for_retention(
            after_updated_at => (v_next ->> 'after_updated_at')::pg_catalog.timestamptz,
            after_id => (v_next ->> 'after_id')::pg_catalog.uuid
        );
        v_next := v_page -> 'next';

        for v_user_id in
            select pg_catalog.jsonb_array_elements_text(v_page -> 'users')::pg_catalog.uuid
        loop
            exit when clock_timestamp() > v_started + c_time;
            begin
                perform public.apply_retention(v_user_id, dry_run => false);
            exception
                when others then
                    raise warning 'retention of user % is left for the next time: %',
                        v_user_id, sqlerrm;
            end;
            commit;
        end loop;
    end loop;
end;
$$;

comment on procedure private.apply_retention is 'Applies the retention policies, one user a transaction, and ends before the next run.';

create procedure private.sweep_imports()
language plpgsql security invoker
as $$
declare
    v_import pg_catalog.jsonb;
begin
    for v_import in
        select pg_catalog.jsonb_array_elements(public.list_imports_left_behind() -> 'imports')
    loop
        begin
            perform public.discard_import(
                (v_import ->> 'user_id')::pg_catalog.uuid,
                (v_import ->> 'import_id')::pg_catalog.uuid
            );
        exception
            when others then
                raise warning 'import % is left for the next time: %', v_import ->> 'import_id', sqlerrm;
        end;
        commit;
    end loop;
end;
$$;

comment on procedure private.sweep_imports is 'Discards what imports have left behind, one a transaction.';

create procedure private.sweep_search_index()
language plpgsql security invoker
as $$
declare
    c_time constant interval := '30 seconds';
    v_started constant timestamptz := clock_timestamp();
    v_user_ids uuid[];
    v_user_id uuid;
    v_step pg_catalog.jsonb;
    v_is_busy boolean := true;
begin
    -- A step for each, and again: who has much to index waits behind nobody's but their own.
    while v_is_busy loop
        v_is_busy := false;
        v_user_ids := array(
            select pg_catalog.jsonb_array_elements_text(public.list_users_to_index() -> 'users')
        )::uuid[];
        foreach v_user_id in array v_user_ids loop
            exit when clock_timestamp() > v_started + c_time;
            begin
                v_step := public.index_messages(v_user_id);
                v_is_busy := v_is_busy
                    or (v_step -> 'more')::boolean and (v_step -> 'indexed')::integer > 0;
            exception
                when others then
                    raise warning 'the search index of user % is left for the next time: %',
                        v_user_id, sqlerrm;
            end;
            commit;
        end loop;
        exit when clock_timestamp() > v_started + c_time;
    end loop;
end;
$$;

comment on procedure private.sweep_search_index is 'Takes the search index on to what was stored last, one step of a user a transaction, and ends before the next run.';

create procedure private.sweep_removals()
language plpgsql security invoker
as $$
declare
    c_time constant interval := '50 seconds';
    v_started constant timestamptz := clock_timestamp();
    v_user_id uuid;
    v_more boolean := true;
begin
    while v_more and clock_timestamp() <= v_started + c_time loop
        v_more := false;
        for v_user_id in
            select pg_catalog.jsonb_array_elements_text(
                public.list_removals() -> 'users'
            )::pg_catalog.uuid
        loop
            exit when clock_timestamp() > v_started + c_time;
            begin
                v_more := (public.continue_removal(v_user_id) ->> 'more')::boolean or v_more;
            exception
                when others then
                    raise warning 'what is being deleted of user % is left for the next time: %',
                        v_user_id, sqlerrm;
            end;
            commit;
        end loop;
        perform pg_catalog.pg_sleep(0.1); -- what is left may be in somebody else's hands
    end loop;
end;
$$;

comment on procedure private.sweep_removals is 'Goes on with every deletion and erasure that was begun, a step a transaction.';

-- Called again whenever pg_cron has been switched on: a job of the same name is replaced.
create function private.schedule_jobs()
returns text[]
language plpgsql volatile security invoker set search_path = ''
as $$
declare
    v_job record;
    v_names text[] := '{}';
begin
    if not exists (select 1 from pg_extension where extname = 'pg_cron') then
        return v_names;
    end if;

    for v_job in select * from private.jobs() loop
        perform cron.schedule(v_job.name, v_job.schedule, v_job.command);
        v_names := v_names || v_job.name;
    end loop;
    return v_names;
end;
$$;

comment on function private.schedule_jobs is 'Schedules the jobs where the database has pg_cron, and names them. Calling it again does no harm.';

create function private.jobs()
returns table (name text, schedule text, command text)
language sql immutable security invoker set search_path = ''
as $$
    values
        ('sweep-turns', '* * * * *', 'call private.sweep_turns()'),
        ('sweep-removals', '* * * * *', 'call private.sweep_removals()'),
        ('sweep-imports', '*/15 * * * *', 'call private.sweep_imports()'),
        ('sweep-search-index', '* * * * *', 'call private.sweep_search_index()'),
        ('apply-retention', '*/15 * * * *', 'call private.apply_retention()');
$$;

comment on function private.jobs is 'What pg_cron is to run, and when.';

do $$
begin
    perform private.schedule_jobs();
exception
    when others then
        raise warning 'the jobs are not scheduled: %', sqlerrm
            using hint = 'python -m shared.doctor says what to do.';
end;
$$;

-- Runs as its owner, because only the owner of a job sees it.
create function public.check_platform()
returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
    v_missing jsonb := '[]';
    v_jobs text[];
begin
    if not exists (
        select 1
        from pg_policies
        where schemaname = 'realtime'
          and tablename = 'messages'
          and policyname = 'listen_to_own_conversation'
    ) then
        v_missing := v_missing || jsonb_build_object(
            'name', 'listen_policy', 'remedy', private.listen_policy()
        );
    end if;

    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        begin
            execute 'select array_agg(jobname::text) from cron.job' into v_jobs;
        exception
            when insufficient_privilege then null; -- so none of them are ours
        end;
        if exists (
            select 1 from private.jobs() as j where j.name <> all (coalesce(v_jobs, '{}'))
        ) then
            v_missing := v_missing || jsonb_build_object(
                'name', 'scheduled_jobs', 'remedy', 'select private.schedule_jobs();'
            );
        end if;
    end if;

    return jsonb_build_object('missing', v_missing);
end;
$$;

revoke all on function public.check_platform from public, anon, authenticated, service_role;
grant execute on function public.check_platform to service_role;
comment on function public.check_platform is 'What the platform has refused or didn''t have when the schema was installed, each with the SQL that mends it: {missing: [{name, remedy}]}.';
