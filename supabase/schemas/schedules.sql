-- What runs by itself, where the database has pg_cron; elsewhere a scheduler calls the endpoints of
-- the same names. Procedures that commit after each user, so that one transaction touches one user,
-- and one who can't be served keeps no other waiting. A procedure that commits can't have settings of
-- its own, search_path included: every name in it says its schema.

create procedure private.apply_retention()
language plpgsql security invoker
as $$
declare
    c_time constant interval := '10 minutes';
    v_started constant timestamptz := clock_timestamp();
    v_user_id uuid;
begin
    for v_user_id in
        select pg_catalog.jsonb_array_elements_text(
            public.list_users_due_for_retention(most => 10000) -> 'users'
        )::pg_catalog.uuid
    loop
        exit when clock_timestamp() > v_started + c_time;
        begin
            perform public.apply_retention(v_user_id, dry_run => false);
        exception
            when others then
                raise warning 'retention of user % is left for the next time: %', v_user_id, sqlerrm;
        end;
        commit;
    end loop;
end;
$$;

revoke all on procedure private.apply_retention from public, anon, authenticated, service_role;
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

revoke all on procedure private.sweep_imports from public, anon, authenticated, service_role;
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

revoke all on procedure private.sweep_search_index from public, anon, authenticated, service_role;
comment on procedure private.sweep_search_index is 'Takes the search index on to what was stored last, one step of a user a transaction, and ends before the next run.';

do $$
begin
    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        perform cron.schedule('sweep-turns', '* * * * *', 'call private.sweep_turns()');
        perform cron.schedule('sweep-imports', '*/15 * * * *', 'call private.sweep_imports()');
        perform cron.schedule('sweep-search-index', '* * * * *', 'call private.sweep_search_index()');
        perform cron.schedule('apply-retention', '*/15 * * * *', 'call private.apply_retention()');
    end if;
end;
$$;
