-- What runs by itself, where the database has pg_cron; elsewhere a scheduler calls the endpoints of
-- the same names.

-- A procedure that commits after each call, so that one transaction touches one user, and one who
-- can't be served keeps no other waiting. It can't have settings of its own, search_path included:
-- every name in it says its schema.
create procedure private.sweep(job text, seconds integer)
language plpgsql security invoker
as $$
declare
    v_until constant timestamptz := clock_timestamp() + make_interval(secs => seconds);
    v_next jsonb;
    v_page jsonb;
    v_item jsonb;
    v_user_id uuid;
    v_step jsonb;
    v_more boolean;
begin
    loop
        v_page := case job
            when 'sweep-turns' then public.list_expired_turns()
            when 'sweep-removals' then public.list_removals()
            when 'sweep-search-index' then public.list_users_to_index()
            when 'apply-retention' then public.list_users_due_for_retention(
                after_updated_at => (v_next ->> 'after_updated_at')::timestamptz,
                after_id => (v_next ->> 'after_id')::uuid
            )
        end;
        v_next := nullif(v_page -> 'next', 'null');
        v_more := v_next is not null;

        for v_item in
            select jsonb_array_elements(
                coalesce(v_page -> 'users', v_page -> 'turns')
            )
        loop
            exit when clock_timestamp() > v_until;
            v_user_id := coalesce(v_item ->> 'user_id', v_item #>> '{}');
            begin
                case job
                    when 'sweep-turns' then
                        perform public.settle_expired_turn(
                            v_user_id, (v_item ->> 'conversation_id')::uuid
                        );
                    when 'sweep-removals' then
                        v_step := public.continue_removal(v_user_id);
                        v_more := v_more or (v_step -> 'more')::boolean;
                    when 'sweep-search-index' then
                        v_step := public.index_messages(v_user_id);
                        v_more := v_more
                            or (v_step -> 'more')::boolean and (v_step -> 'indexed')::integer > 0;
                    when 'apply-retention' then
                        perform public.apply_retention(v_user_id, dry_run => false);
                end case;
            exception
                when others then
                    raise warning '%: % is left for the next time: %', job, v_item, sqlerrm;
            end;
            commit;
        end loop;

        exit when not v_more or clock_timestamp() > v_until;
        perform pg_sleep(0.1); -- what is left may be in somebody else's hands
    end loop;
end;
$$;

comment on procedure private.sweep is 'Takes a listing and calls its function for each, one user a transaction, in rounds while there is more, for so many seconds.';

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
        ('sweep-turns', '* * * * *', 'call private.sweep(''sweep-turns'', 30)'),
        ('sweep-removals', '* * * * *', 'call private.sweep(''sweep-removals'', 50)'),
        ('sweep-search-index', '* * * * *', 'call private.sweep(''sweep-search-index'', 30)'),
        ('apply-retention', '*/15 * * * *', 'call private.sweep(''apply-retention'', 100)');
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
