-- A list that is read page by page while conversations move. Every message moves its conversation
-- to the top, so by updated_at alone one that moves between two pages is never seen. All pages of a
-- list are therefore about one moment, the newest activity on its first page: what has moved since
-- stands where it stood then, which its messages still tell.

drop function public.list_conversations(boolean, uuid, integer, timestamptz, uuid);

create function public.list_conversations(
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null,
    as_of timestamptz default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    with unmoved as (
        select c.id, c.updated_at as place
        from public.conversations as c
        where (c.archived_at is not null) = list_conversations.archived
          and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
          -- Without an `or`, so that the index serves however deep the page is.
          and (c.updated_at, c.id) < (
              coalesce(list_conversations.before_updated_at, 'infinity'),
              coalesce(list_conversations.before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          )
          and c.updated_at <= coalesce(list_conversations.as_of, 'infinity')
        order by c.updated_at desc, c.id desc
        limit least(greatest(list_conversations.page_size, 1), 200) + 1
    ),
    moved as (
        select c.id, stood.place
        from public.conversations as c
        cross join lateral (
            select coalesce(
                (
                    select m.created_at
                    from public.messages as m
                    where m.conversation_id = c.id
                      and m.created_at <= list_conversations.as_of
                    order by m.created_at desc
                    limit 1
                ),
                c.created_at
            ) as place
        ) as stood
        where (c.archived_at is not null) = list_conversations.archived
          and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
          and c.updated_at > list_conversations.as_of
          -- No page ends behind as_of, so nothing that came later is here. What counts is not
          -- created_at: an imported conversation may say that its messages are older.
          and (stood.place, c.id) < (list_conversations.before_updated_at, list_conversations.before_id)
    ),
    page as (
        select id, place, row_number() over (order by place desc, id desc) as number
        from (select * from unmoved union all select * from moved) as both_kinds
        order by place desc, id desc
        limit least(greatest(list_conversations.page_size, 1), 200) + 1
    ),
    kept as (
        select to_jsonb(c) as row, p.id, p.place, p.number
        from page as p
        join public.conversations as c on c.id = p.id
        where p.number <= least(greatest(list_conversations.page_size, 1), 200)
    )
    select jsonb_build_object(
        'conversations', (select coalesce(jsonb_agg(k.row order by k.number), '[]') from kept as k),
        'has_more', (select count(*) from page) > (select count(*) from kept),
        'next', (
            select jsonb_build_object(
                'before_updated_at', k.place,
                'before_id', k.id,
                'as_of', coalesce(list_conversations.as_of, (select max(place) from kept))
            )
            from kept as k
            where (select count(*) from page) > (select count(*) from kept)
            order by k.number desc
            limit 1
        )
    );
$$;

revoke all on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid, timestamptz)
    from public, anon, authenticated, service_role;
grant execute on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid, timestamptz)
    to authenticated, service_role;
comment on function public.list_conversations(boolean, uuid, integer, timestamptz, uuid, timestamptz) is
    'Conversations by last activity, newest first. next has the arguments of the page that follows: it goes on with the list as it was at as_of, each conversation once, wherever it has moved to since.';
