-- A path is the messages from a conversation's first to the last of a branch: a set of seq, which is
-- a few ranges, since a branch is one and what it has in common with its parent are others. Seq has no
-- gaps, so a page of a path, its length and what comes before a place are found by counting.

-- All that is known of a conversation's tree, in one look: b[n] is branch n.
create function private.branches_of(user_id uuid, conversation private.conversations)
returns public.branches[]
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if conversation.last_branch = 0 then
        return '{}';
    end if;
    return array(
        select b
        from public.branches as b
        where b.user_id = branches_of.user_id and b.conversation_id = branches_of.conversation.id
        order by b.branch
    );
end;
$$;

grant execute on function private.branches_of to authenticated, service_role;
comment on function private.branches_of is 'A conversation''s branches but for 0, in the order of their numbers.';

create function private.path_along(branches public.branches[], branch integer, last_seq bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_branch integer := branch;
    v_until bigint := coalesce(branches[branch + 1].first_seq, last_seq + 1);
    v_ranges int8range[] := '{}';
begin
    while v_branch > 0 loop
        v_ranges := v_ranges
            || int8range(branches[v_branch].first_seq, greatest(v_until, branches[v_branch].first_seq));
        v_until := branches[v_branch].fork_seq + 1;
        v_branch := branches[v_branch].parent;
    end loop;
    return int8multirange(variadic v_ranges || int8range(1, v_until));
end;
$$;

grant execute on function private.path_along to authenticated, service_role;
comment on function private.path_along is 'The seqs of the path that ends with one of a conversation''s branches.';

create function private.path_to(
    user_id uuid,
    conversation private.conversations,
    branch integer default null,
    before bigint default null
)
returns int8multirange
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_branches public.branches[];
    v_branch integer;
begin
    if conversation.last_branch = 0 then
        return int8multirange(int8range(1, coalesce(before, conversation.last_seq + 1)));
    end if;

    v_branches := private.branches_of(user_id, conversation);
    v_branch := coalesce(branch, cardinality(v_branches));
    while v_branch > 0 and v_branches[v_branch].first_seq > before loop
        v_branch := v_branch - 1;
    end loop;
    return private.path_along(v_branches, v_branch, conversation.last_seq)
        * int8multirange(int8range(null, before));
end;
$$;

grant execute on function private.path_to to authenticated, service_role;
comment on function private.path_to is 'The seqs of the path that ends with a branch, or of that to a message, before its own.';

-- Numbers grow with time: the path that was written to last ends with the highest.
create function private.path_end(
    branches public.branches[],
    branch integer,
    last_seq bigint,
    seq bigint default null
)
returns integer
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_seq bigint := coalesce(seq, branches[branch + 1].first_seq - 1, last_seq);
    v_end integer := branch;
    v_is_through boolean[] := '{}';
    v_next public.branches;
begin
    if (branch between 0 and cardinality(branches)) is not true then
        raise exception 'Branch not found.'
            using errcode = 'PT404', detail = 'branch_not_found';
    end if;

    foreach v_next in array branches[branch + 1:] loop
        if v_next.parent = branch and v_next.fork_seq >= v_seq or v_is_through[v_next.parent] then
            v_is_through[v_next.branch] := true;
            v_end := v_next.branch;
        end if;
    end loop;
    return v_end;
end;
$$;

grant execute on function private.path_end to authenticated, service_role;
comment on function private.path_end is 'With which of a conversation''s branches the path ends that was written to last, of those through a message of a branch, or through all of it. Raises PT404.';

-- Mostly all of them are in one range.
create function private.part_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_part constant int8range := case
        when isempty(path) then 'empty'
        when most < 0 then int8range(greatest(lower(path), upper(path) + most), upper(path))
        else int8range(lower(path), least(upper(path), lower(path) + most))
    end;
begin
    if v_part <@ path then
        return int8multirange(v_part);
    end if;
    return (
        select coalesce(range_agg(case
            when most < 0 then int8range(greatest(lower(r), upper(r) - room), upper(r))
            else int8range(lower(r), least(upper(r), lower(r) + room))
        end), '{}')
        from (
            select r, abs(most) - coalesce(sum(upper(r) - lower(r)) over (
                order by lower(r) * sign(most)
                rows between unbounded preceding and 1 preceding
            ), 0)::bigint as room
            from unnest(path) as r
        ) as ranges
        where room > 0
    );
end;
$$;

grant execute on function private.part_of to authenticated, service_role;
comment on function private.part_of is 'So many seqs of a path, from its start on; with a number below 0, from its end back.';

create function private.length_of(path int8multirange)
returns bigint
language plpgsql immutable security invoker set search_path = ''
as $$
begin
    if path = int8multirange(range_merge(path)) then
        return coalesce(upper(path) - lower(path), 0); -- as most are: without a look
    end if;
    return (select sum(upper(r) - lower(r)) from unnest(path) as r);
end;
$$;

grant execute on function private.length_of to authenticated, service_role;
comment on function private.length_of is 'How many seqs a path has.';

-- Siblings are the messages that follow one place: the first of each branch that begins there, and the
-- one that its parent goes on with. Each is given with the branch at which the path ends that was
-- written to last of those through it, since that is what somebody who turns to it wants to see.
create function private.find_siblings(
    user_id uuid,
    conversation_id uuid,
    page int8multirange,
    branches public.branches[],
    last_seq bigint
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_around constant integer := 10; -- beside a message, on each side
    v_parents constant integer[] := array(
        select b.parent
        from unnest(find_siblings.branches) as b
        where b.first_seq <@ find_siblings.page or b.fork_seq + 1 <@ find_siblings.page
    );
    v_ends integer[] := '{}'; -- with which branch the path ends that goes on from each
    v_parent integer;
begin
    if v_parents = '{}' then
        return '{}';
    end if;

    for v_branch in reverse cardinality(branches)..1 loop
        v_parent := branches[v_branch].parent;
        v_ends[v_branch] := greatest(v_ends[v_branch], v_branch);
        v_ends[v_parent] := greatest(v_ends[v_parent], v_ends[v_branch]);
    end loop;

    return (
        with children as (
            select b.*, v_ends[b.branch] as ends_with
            from unnest(find_siblings.branches) as b
            where b.parent = any (v_parents)
        ),
        following as (
            select c.parent, c.fork_seq, c.first_seq as seq, c.branch as written_on, c.ends_with
            from children as c
            union all
            select c.parent, c.fork_seq, c.fork_seq + 1, c.parent, greatest(c.parent, (
                select max(later.ends_with)
                from children as later
                where later.parent = c.parent and later.fork_seq > c.fork_seq
            ))
            from (
                select distinct parent, fork_seq
                from children
                where fork_seq + 1 <@ find_siblings.page or first_seq <@ find_siblings.page
            ) as c
        ),
        placed as (
            select f.*,
                   row_number() over (partition by f.parent, f.fork_seq order by f.seq) as position,
                   count(*) over (partition by f.parent, f.fork_seq) as siblings
            from following as f
            where f.seq < coalesce(
                find_siblings.branches[f.written_on + 1].first_seq, find_siblings.last_seq + 1
            )
        )
        select coalesce(jsonb_object_agg(s.id, s.described), '{}')
        from (
            select (array_agg(m.id) filter (where o.seq = p.seq))[1] as id,
                   jsonb_build_object('position', p.position, 'count', p.siblings, 'messages', jsonb_agg(
                       jsonb_build_object('id', m.id, 'branch', o.ends_with) order by o.position
                   )) as described
            from placed as p
            join placed as o
                on (o.parent, o.fork_seq) = (p.parent, p.fork_seq)
                and abs(o.position - p.position) <= c_around
            cross join lateral (
                select id
                from public.messages
                where messages.user_id = find_siblings.user_id
                  and messages.conversation_id = find_siblings.conversation_id
                  and messages.seq = o.seq
                offset 0
            ) as m
            where p.seq <@ find_siblings.page
              and p.siblings > 1
            group by p.parent, p.fork_seq, p.seq, p.position, p.siblings
        ) as s
        where s.id is not null
    );
end;
$$;

grant execute on function private.find_siblings to authenticated, service_role;
comment on function private.find_siblings is 'For each message of a page that has siblings, by its id: its position among them, how many there are, and the nearest with their branches.';
