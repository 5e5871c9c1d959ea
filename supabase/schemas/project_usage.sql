-- What everybody's turns came to and what is stored of each user: a listing over users, a page at a
-- time, for whoever runs the project.

create function private.usage_of_user(
    user_id uuid,
    starts_at timestamptz,
    ends_at timestamptz,
    prices jsonb
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    with turned as (
        select
            t.status,
            t.error ->> 'type' as reason,
            r.metadata ->> 'engine' as model,
            jsonb_path_query_first(
                r.metadata, '$.usage.input_tokens ? (@.type() == "number")'
            )::numeric as input_tokens,
            jsonb_path_query_first(
                r.metadata, '$.usage.output_tokens ? (@.type() == "number")'
            )::numeric as output_tokens
        from public.turns as t
        left join public.messages as r
            on r.user_id = t.user_id and r.turn_id = t.id
            and r.role = 'assistant'
        where t.user_id = usage_of_user.user_id
          and t.started_at >= usage_of_user.starts_at
          and t.started_at < usage_of_user.ends_at
          and t.conversation_id <> all (
              (select private.being_deleted(usage_of_user.user_id))::uuid[]
          )
    ),
    priced as (
        select
            turned.*,
            coalesce(input_tokens, output_tokens) is not null as has_usage,
            0.000001 * (
                coalesce(input_tokens, 0) * (prices -> model ->> 'input')::numeric
                + coalesce(output_tokens, 0) * (prices -> model ->> 'output')::numeric
            ) as cost
        from turned
    )
    select jsonb_build_object(
        'user_id', usage_of_user.user_id,
        'turns', count(*),
        'completed', count(*) filter (where p.status = 'completed'),
        'failures', (
            select coalesce(jsonb_object_agg(f.reason, f.turns), '{}')
            from (
                select coalesce(e.reason, e.status) as reason, count(*) as turns
                from priced as e
                where e.status in ('failed', 'interrupted')
                group by 1
            ) as f
        ),
        'input_tokens', coalesce(sum(p.input_tokens), 0),
        'output_tokens', coalesce(sum(p.output_tokens), 0),
        'cost', case
            when bool_or(p.has_usage and p.cost is null) then null
            else trim_scale(coalesce(sum(p.cost) filter (where p.has_usage), 0))
        end,
        'conversations', (
            select count(*)
            from private.conversations as c
            where c.user_id = usage_of_user.user_id
        ),
        'messages', (
            select count(*)
            from public.messages as m
            where m.user_id = usage_of_user.user_id
        ),
        -- As they lie on disk, compressed: no text is read for it.
        'bytes', (
            select coalesce(sum(
                pg_column_size(m.content) + pg_column_size(m.metadata)
                + coalesce(pg_column_size(m.generated_code), 0)
            ), 0)
            from public.messages as m
            where m.user_id = usage_of_user.user_id
        )
    )
    from priced as p;
$$;

grant execute on function private.usage_of_user to service_role;
comment on function private.usage_of_user is 'Figures of a user''s turns begun in a range, and what is stored of them now. Turns of deleted conversations are gone from both.';

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
        v_users := v_users || private.usage_of_user(v_user_id, starts_at, ends_at, prices);
    end loop;

    return jsonb_build_object('users', to_jsonb(v_users), 'more', v_user_id is not null);
end;
$$;

revoke all on function public.project_usage from public, anon, authenticated, service_role;
grant execute on function public.project_usage to service_role;
comment on function public.project_usage is 'A page of the project''s users in the order of their ids, each with the figures of private.usage_of_user: a listing. A step ends after two seconds of work; more says that users are left behind the last one.';
