-- What everybody's turns came to and what is stored of each user: a listing over users, a page at a
-- time, for whoever runs the project.

create function public.project_usage(
    starts_at timestamptz,
    ends_at timestamptz,
    after_user_id uuid default null,
    most integer default 100,
    prices jsonb default '{}'
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    c_work constant interval := '2 seconds';
    v_until constant timestamptz := clock_timestamp() + c_work;
    v_user_id uuid := after_user_id;
    v_figures jsonb;
    v_users jsonb[] := '{}';
begin
    loop
        -- One step in the index for each user, however many conversations each has.
        select c.user_id into v_user_id
        from private.conversations as c
        where v_user_id is null or c.user_id > v_user_id
        order by c.user_id
        limit 1;

        exit when v_user_id is null
            or cardinality(v_users) >= most
            or clock_timestamp() > v_until and cardinality(v_users) > 0;

        v_figures := private.turn_figures(
            v_user_id, starts_at, ends_at, array[starts_at, ends_at], null, prices
        );
        v_users := v_users || (
            select jsonb_build_object(
                'user_id', v_user_id,
                'turns', v_figures -> 'totals' -> 'turns',
                'completed', v_figures -> 'totals' -> 'completed',
                'failures', v_figures -> 'failures',
                'conversations', (
                    select count(*)
                    from private.conversations as c
                    where c.user_id = v_user_id
                ),
                'messages', count(*),
                -- As they lie on disk, compressed: no text is read for it.
                'bytes', coalesce(sum(
                    pg_column_size(m.content) + pg_column_size(m.metadata)
                    + coalesce(pg_column_size(m.generated_code), 0)
                ), 0)
            ) || (v_figures -> 'totals' -> 'usage') - 'turns'
            from public.messages as m
            where m.user_id = v_user_id
        );
    end loop;

    return jsonb_build_object('users', to_jsonb(v_users), 'more', v_user_id is not null);
end;
$$;

revoke all on function public.project_usage from public, anon, authenticated, service_role;
grant execute on function public.project_usage to service_role;
comment on function public.project_usage is 'A page of the project''s users in the order of their ids, each with figures of their turns begun in a range, and what is stored of them now: a listing. A step ends after two seconds of work; more says that users are left behind the last one.';
