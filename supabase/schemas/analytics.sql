-- What a user's turns came to, in exact figures: how many, how long, at what cost, and how well
-- they were kept. idx_turns_user_id (user_id, started_at) finds the turns of a time.

create function private.turn_figures(
    user_id uuid,
    starts_at timestamptz,
    ends_at timestamptz,
    bounds timestamptz[],
    project_id uuid,
    prices jsonb
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
-- Compiling so long a query takes longer than running it.
set jit = off
as $$
#variable_conflict use_column
declare
    v_figures jsonb;
begin
    with turned as (
        select
            width_bucket(t.started_at, bounds) as place,
            t.status,
            t.error,
            t.attempt,
            t.replays,
            -- An interrupted turn ends when somebody finds it: that says nothing of how long it took.
            case when t.status in ('completed', 'failed', 'cancelled')
                then extract(epoch from t.finished_at - t.started_at)
            end as duration,
            jsonb_path_query_first(
                r.metadata, '$.persistedAfter ? (@.type() == "number")'
            )::numeric as persisted_after,
            jsonb_path_query_first(
                r.metadata, '$.filesGenerated ? (@.type() == "number")'
            )::numeric as files,
            jsonb_path_query_first(
                r.metadata, '$.usage.input_tokens ? (@.type() == "number")'
            )::numeric as input_tokens,
            jsonb_path_query_first(
                r.metadata, '$.usage.output_tokens ? (@.type() == "number")'
            )::numeric as output_tokens,
            r.metadata ->> 'engine' as model,
            r.metadata
        from public.turns as t
        left join public.messages as r
            on r.user_id = t.user_id and r.turn_id = t.id
            and r.role = 'assistant'
        where t.user_id = turn_figures.user_id
          and t.started_at >= turn_figures.starts_at
          and t.started_at < turn_figures.ends_at
          and t.conversation_id <> all (
              (select private.being_deleted(turn_figures.user_id))::uuid[]
          )
          and (
              turn_figures.project_id is null
              or exists (
                  select 1
                  from private.conversations as c
                  where c.user_id = t.user_id and c.id = t.conversation_id
                    and c.project_id = turn_figures.project_id
              )
          )
    ),
    facts as materialized (
        select
            turned.*,
            coalesce(input_tokens, output_tokens) is not null as has_usage,
            0.000001 * (
                coalesce(input_tokens, 0) * (prices -> model ->> 'input')::numeric
                + coalesce(output_tokens, 0) * (prices -> model ->> 'output')::numeric
            ) as cost
        from turned
    ),
    -- Once for each bucket, and once for all of them: there place is null.
    figures as (
        select
            bucket.place,
            jsonb_build_object(
                'turns', count(f.status),
                'running', count(*) filter (where f.status = 'running'),
                'completed', count(*) filter (where f.status = 'completed'),
                'failed', count(*) filter (where f.status = 'failed'),
                'cancelled', count(*) filter (where f.status = 'cancelled'),
                'interrupted', count(*) filter (where f.status = 'interrupted'),
                'success_rate', round(
                    avg((f.status = 'completed')::integer) filter (
                        where f.status in ('completed', 'failed', 'interrupted')
                    ), 4
                ),
                'duration', jsonb_build_object(
                    'measured', count(f.duration),
                    'median', round((percentile_cont(0.5) within group (order by f.duration))::numeric, 3),
                    'p95', round((percentile_cont(0.95) within group (order by f.duration))::numeric, 3)
                ),
                'files_generated', coalesce(sum(f.files), 0),
                'usage', jsonb_build_object(
                    'turns', count(*) filter (where f.has_usage),
                    'input_tokens', coalesce(sum(f.input_tokens), 0),
                    'output_tokens', coalesce(sum(f.output_tokens), 0),
                    'cost', case
                        when bool_or(f.has_usage and f.cost is null) then null
                        else trim_scale(coalesce(sum(f.cost) filter (where f.has_usage), 0))
                    end
                ),
                'persistence', jsonb_build_object(
                    'replays_deduplicated', coalesce(sum(f.replays), 0),
                    'recovered', count(*) filter (where f.status = 'completed' and f.attempt > 1),
                    'time_to_first_persist', jsonb_build_object(
                        'measured', count(f.persisted_after),
                        'median', round((percentile_cont(0.5) within group (order by f.persisted_after))::numeric, 4),
                        'p95', round((percentile_cont(0.95) within group (order by f.persisted_after))::numeric, 4)
                    )
                )
            ) as figures
        from generate_series(1, cardinality(bounds) - 1) as bucket (place)
        left join facts as f on f.place = bucket.place
        group by grouping sets ((bucket.place), ())
    ),
    ranked as (
        select
            named.kind,
            jsonb_build_object('name', named.name, 'turns', count(*)) as entry,
            row_number() over (partition by named.kind order by count(*) desc, named.name) as rank
        from facts
        cross join lateral (
            values ('intents', metadata ->> 'intent'),
                   ('complexities', metadata ->> 'complexity'),
                   ('strategies', metadata ->> 'strategy')
        ) as named (kind, name)
        where named.name is not null
        group by named.kind, named.name
    ),
    models as (
        select
            model,
            jsonb_build_object(
                'name', model,
                'turns', count(*),
                'input_tokens', coalesce(sum(input_tokens), 0),
                'output_tokens', coalesce(sum(output_tokens), 0),
                'cost', trim_scale(sum(cost))
            ) as entry
        from facts
        where has_usage
        group by model
    )
    select into v_figures jsonb_build_object(
        'totals', (select f.figures from figures as f where f.place is null),
        'buckets', (
            select jsonb_agg(
                jsonb_build_object('start', bounds[f.place], 'end', bounds[f.place + 1]) || f.figures
                order by f.place
            )
            from figures as f
            where f.place is not null
        ),
        'models', (select coalesce(jsonb_agg(entry order by model), '[]') from models),
        'failures', (
            select coalesce(jsonb_object_agg(e.reason, e.turns), '{}')
            from (
                select coalesce(error ->> 'type', status) as reason, count(*) as turns
                from facts
                where status in ('failed', 'interrupted')
                group by 1
            ) as e
        )
    ) || (
        select jsonb_object_agg(kind, (
            select coalesce(jsonb_agg(r.entry order by r.rank), '[]')
            from ranked as r
            where r.kind = listed.kind and r.rank <= 20
        ))
        from unnest(array['intents', 'complexities', 'strategies']) as listed (kind)
    );

    return v_figures;
end;
$$;

grant execute on function private.turn_figures to authenticated, service_role;
comment on function private.turn_figures is 'Figures of a user''s turns begun in a range, in all and for each bucket that the bounds make, with the failures by reason. Turns of deleted conversations are in none.';

create function public.conversation_analytics(
    user_id uuid,
    starts_at timestamptz,
    ends_at timestamptz,
    bounds jsonb,
    project_id uuid default null,
    prices jsonb default '{}'
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
    perform private.require_self(user_id);

    return private.turn_figures(
        user_id, starts_at, ends_at,
        array(select b::timestamptz from jsonb_array_elements_text(bounds) as b), project_id, prices
    ) - 'failures';
end;
$$;

revoke all on function public.conversation_analytics from public, anon, authenticated, service_role;
grant execute on function public.conversation_analytics to authenticated, service_role;
comment on function public.conversation_analytics is 'Figures of a user''s turns begun in a range, in all and for each bucket between two bounds, which grow from the start or before it to the end or behind it. Durations are in seconds; a cost is null where a model that was used has no price (per million tokens, by the name of the engine). Raises PT403.';
