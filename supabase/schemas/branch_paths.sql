-- A path is the messages from a conversation's first to the last of a branch: a set of seq, which is
-- a few ranges, since a branch is one and what it has in common with its parent are others. Seq has no
-- gaps, so a page of a path, its length and what comes before a place are found by counting.

create function private.end_of_branch(user_id uuid, conversation_id uuid, branch integer)
returns bigint
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    return coalesce(
        (
            select b.first_seq - 1
            from public.branches as b
            where b.user_id = end_of_branch.user_id
              and b.conversation_id = end_of_branch.conversation_id
              and b.branch = end_of_branch.branch + 1
        ),
        (
            select c.last_seq
            from private.conversations as c
            where c.user_id = end_of_branch.user_id and c.id = end_of_branch.conversation_id
        )
    );
end;
$$;

grant execute on function private.end_of_branch to authenticated, service_role;
comment on function private.end_of_branch is 'The seq with which a branch ends.';

-- A branch's parent has a lower number: one look at each, from the highest down.
create function private.path_to(
    user_id uuid,
    conversation private.conversations,
    branch integer
)
returns int8multirange
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_branch integer := path_to.branch;
    v_until bigint := conversation.last_seq;
    v_ranges int8range[] := '{}';
    v_row record;
begin
    if conversation.last_branch = 0 then
        return int8multirange(int8range(1, conversation.last_seq + 1));
    end if;

    for v_row in
        select b.branch, b.parent, b.fork_seq, b.first_seq
        from public.branches as b
        where b.user_id = path_to.user_id and b.conversation_id = path_to.conversation.id
          and b.branch <= path_to.branch + 1
        order by b.branch desc
    loop
        if v_row.branch > path_to.branch then
            v_until := v_row.first_seq - 1;
        elsif v_row.branch = v_branch then
            v_ranges := v_ranges
                || int8range(v_row.first_seq, greatest(v_until + 1, v_row.first_seq));
            v_branch := v_row.parent;
            v_until := v_row.fork_seq;
        end if;
    end loop;
    return int8multirange(variadic v_ranges || int8range(1, v_until + 1));
end;
$$;

grant execute on function private.path_to to authenticated, service_role;
comment on function private.path_to is 'The seqs of the path that ends with a branch.';

create function private.path_before(
    user_id uuid,
    conversation private.conversations,
    seq bigint
)
returns int8multirange
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_branch integer;
begin
    if conversation.last_branch = 0 then
        return int8multirange(
            int8range(1, greatest(least(path_before.seq, conversation.last_seq + 1), 1))
        );
    end if;

    select b.branch into v_branch
    from public.branches as b
    where b.user_id = path_before.user_id and b.conversation_id = path_before.conversation.id
      and b.first_seq <= path_before.seq
    order by b.branch desc
    limit 1;

    return private.path_to(user_id, conversation, coalesce(v_branch, 0))
        * int8multirange(int8range(null, path_before.seq));
end;
$$;

grant execute on function private.path_before to authenticated, service_role;
comment on function private.path_before is 'The seqs of the path to a message, without its own.';

-- Numbers grow with time: the path that was written to last ends with the highest.
create function private.path_end(
    user_id uuid,
    conversation_id uuid,
    branch integer,
    seq bigint default null
)
returns integer
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_seq bigint := coalesce(
        path_end.seq, private.end_of_branch(user_id, conversation_id, path_end.branch)
    );
    v_end integer := path_end.branch;
    v_is_through boolean[] := '{}';
    v_row record;
begin
    if not exists (
        select 1
        from private.conversations as c
        where c.user_id = path_end.user_id and c.id = path_end.conversation_id
          and path_end.branch between 0 and c.last_branch
    ) then
        raise exception 'Branch not found.'
            using errcode = 'PT404', detail = 'branch_not_found';
    end if;

    for v_row in
        select b.branch, b.parent, b.fork_seq
        from public.branches as b
        where b.user_id = path_end.user_id and b.conversation_id = path_end.conversation_id
          and b.branch > path_end.branch
        order by b.branch
    loop
        if v_row.parent = path_end.branch and v_row.fork_seq >= v_seq
            or v_is_through[v_row.parent]
        then
            v_is_through[v_row.branch] := true;
            v_end := v_row.branch;
        end if;
    end loop;
    return v_end;
end;
$$;

grant execute on function private.path_end to authenticated, service_role;
comment on function private.path_end is 'With which branch the path ends that was written to last, of those through a message of a branch, or through all of it. Raises PT404.';

create function private.newest_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_room bigint := most;
    v_range int8range;
    v_ranges int8range[] := '{}';
begin
    if isempty(path) then
        return path;
    elsif path = range_merge(path)::int8multirange then
        return int8multirange(int8range(
            greatest(lower(path), upper(path) - greatest(most, 0)), upper(path)
        ));
    elsif int8range(upper(path) - greatest(most, 0), upper(path)) <@ path then
        return int8multirange(int8range(upper(path) - greatest(most, 0), upper(path)));
    end if;

    for v_range in
        select r from unnest(path) as r order by r desc
    loop
        exit when v_room <= 0;
        v_ranges := v_ranges || int8range(greatest(lower(v_range), upper(v_range) - v_room), upper(v_range));
        v_room := v_room - (upper(v_range) - lower(v_range));
    end loop;
    return int8multirange(variadic v_ranges);
end;
$$;

grant execute on function private.newest_of to authenticated, service_role;
comment on function private.newest_of is 'So many seqs of a path, from its end back.';

create function private.oldest_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_room bigint := most;
    v_range int8range;
    v_ranges int8range[] := '{}';
begin
    if isempty(path) then
        return path;
    elsif path = range_merge(path)::int8multirange then
        return int8multirange(int8range(
            lower(path), least(upper(path), lower(path) + greatest(most, 0))
        ));
    elsif int8range(lower(path), lower(path) + greatest(most, 0)) <@ path then
        return int8multirange(int8range(lower(path), lower(path) + greatest(most, 0)));
    end if;

    for v_range in
        select r from unnest(path) as r order by r
    loop
        exit when v_room <= 0;
        v_ranges := v_ranges || int8range(lower(v_range), least(upper(v_range), lower(v_range) + v_room));
        v_room := v_room - (upper(v_range) - lower(v_range));
    end loop;
    return int8multirange(variadic v_ranges);
end;
$$;

grant execute on function private.oldest_of to authenticated, service_role;
comment on function private.oldest_of is 'So many seqs of a path, from its start on.';

create function private.length_of(path int8multirange)
returns bigint
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(path) as r;
$$;

grant execute on function private.length_of to authenticated, service_role;
comment on function private.length_of is 'How many seqs a path has.';

-- Siblings are the messages that follow one place: the first of each branch that begins there, and the
-- one that its parent goes on with. Each is given with the branch at which the path ends that was
-- written to last of those through it, since that is what somebody who turns to it wants to see.
-- The branches are read once; most pages have no fork, and need no more than that.
create function private.find_siblings(
    user_id uuid,
    conversation_id uuid,
    page int8multirange,
    last_branch integer,
    last_seq bigint
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_around constant integer := 10; -- beside a message, on each side
    v_parents integer[];
    v_forks bigint[];
    v_firsts bigint[]; -- of each branch from 1 on, and where the next one would begin
    v_near integer[]; -- from what the page has forks of
    v_ends integer[];
    v_end integer;
    v_siblings jsonb;
begin
    select array_agg(b.parent order by b.branch), array_agg(b.fork_seq order by b.branch),
           array_agg(b.first_seq order by b.branch) || find_siblings.last_seq + 1,
           array_agg(b.parent) filter (
               where b.first_seq <@ find_siblings.page or b.fork_seq + 1 <@ find_siblings.page
           )
    into v_parents, v_forks, v_firsts, v_near
    from public.branches as b
    where b.user_id = find_siblings.user_id
      and b.conversation_id = find_siblings.conversation_id;

    if v_near is null then
        return '{}';
    end if;

    v_ends := array_fill(0, array[last_branch]);
    for v_branch in reverse last_branch..1 loop
        v_end := greatest(v_ends[v_branch], v_branch);
        v_ends[v_branch] := v_end;
        if v_end > v_ends[v_parents[v_branch]] then
            v_ends[v_parents[v_branch]] := v_end;
        end if;
    end loop;

    with children as (
        select b.parent, b.fork_seq, b.first_seq, b.ends_with,
               b.first_seq < v_firsts[b.branch + 1] as is_written,
               max(b.ends_with) over (
                   partition by b.parent
                   order by b.fork_seq desc
                   groups between unbounded preceding and 1 preceding
               ) as later_ends_with
        from unnest(v_parents, v_forks, v_firsts, v_ends)
            with ordinality as b (parent, fork_seq, first_seq, ends_with, branch)
        where b.parent = any (v_near)
    ),
    following as (
        select c.parent, c.fork_seq, c.first_seq as seq, c.ends_with
        from children as c
        where c.is_written
        union all
        select distinct c.parent, c.fork_seq, c.fork_seq + 1, greatest(c.parent, c.later_ends_with)
        from children as c
        where c.fork_seq + 1 < v_firsts[c.parent + 1]
    ),
    placed as (
        select f.*,
               row_number() over (partition by f.parent, f.fork_seq order by f.seq) as position,
               count(*) over (partition by f.parent, f.fork_seq) as siblings
        from following as f
    ),
    listed as (
        select p.seq, p.position, p.siblings,
               (
                   select jsonb_agg(
                       jsonb_build_object('id', m.id, 'branch', o.ends_with)
                       order by o.position
                   )
                   from placed as o
                   cross join lateral (
                       select *
                       from public.messages
                       where messages.user_id = find_siblings.user_id
                         and messages.conversation_id = find_siblings.conversation_id
                         and messages.seq = o.seq
                       offset 0
                   ) as m
                   where (o.parent, o.fork_seq) = (p.parent, p.fork_seq)
                     and abs(o.position - p.position) <= c_around
               ) as messages
        from placed as p
        where p.siblings > 1
          and p.seq <@ find_siblings.page
    )
    select coalesce(jsonb_object_agg(
        m.id,
        jsonb_build_object('position', l.position, 'count', l.siblings, 'messages', l.messages)
    ), '{}')
    into v_siblings
    from listed as l
    cross join lateral (
        select *
        from public.messages
        where messages.user_id = find_siblings.user_id
          and messages.conversation_id = find_siblings.conversation_id
          and messages.seq = l.seq
        offset 0
    ) as m;
    return v_siblings;
end;
$$;

grant execute on function private.find_siblings to authenticated, service_role;
comment on function private.find_siblings is 'For each message of a page that has siblings, by its id: its position among them, how many there are, and the nearest with their branches.';
