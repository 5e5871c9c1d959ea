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
    branch integer
)
returns int8multirange
language plpgsql stable security invoker set search_path = ''
as $$
begin
    return private.path_along(
        private.branches_of(user_id, conversation), branch, conversation.last_seq
    );
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
declare
    v_branches public.branches[];
    v_branch integer;
begin
    if conversation.last_branch = 0 then
        return int8multirange(int8range(1, seq));
    end if;

    v_branches := private.branches_of(user_id, conversation);
    v_branch := cardinality(v_branches);
    while v_branch > 0 and v_branches[v_branch].first_seq > seq loop
        v_branch := v_branch - 1;
    end loop;
    return private.path_along(v_branches, v_branch, conversation.last_seq)
        * int8multirange(int8range(null, seq));
end;
$$;

grant execute on function private.path_before to authenticated, service_role;
comment on function private.path_before is 'The seqs of the path to a message, without its own.';

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
create function private.newest_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_newest constant int8range := int8range(
        greatest(lower(path), upper(path) - greatest(most, 0)), upper(path)
    );
begin
    if v_newest <@ path then
        return int8multirange(v_newest);
    end if;
    return (
        select coalesce(range_agg(int8range(greatest(lower(r), upper(r) - room), upper(r))), '{}')
        from (
            select r, most - coalesce(sum(upper(r) - lower(r)) over (
                order by r desc rows between unbounded preceding and 1 preceding
            ), 0)::bigint as room
            from unnest(path) as r
        ) as ranges
        where room > 0
    );
end;
$$;

grant execute on function private.newest_of to authenticated, service_role;
comment on function private.newest_of is 'So many seqs of a path, from its end back.';

create function private.oldest_of(path int8multirange, most bigint)
returns int8multirange
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    v_oldest constant int8range := int8range(
        lower(path), least(upper(path), lower(path) + greatest(most, 0))
    );
begin
    if v_oldest <@ path then
        return int8multirange(v_oldest);
    end if;
    return (
        select coalesce(range_agg(int8range(lower(r), least(upper(r), lower(r) + room))), '{}')
        from (
            select r, most - coalesce(sum(upper(r) - lower(r)) over (
                order by r rows between unbounded preceding and 1 preceding
            ), 0)::bigint as room
            from unnest(path) as r
        ) as ranges
        where room > 0
    );
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
        v_ends[v_parent] := greatest(v_ends[v_parent], v_ends[v_branch], v_branch);
    end loop;

    return (
        with children as (
            select b.parent, b.fork_seq, b.first_seq,
                   greatest(v_ends[b.branch], b.branch) as ends_with,
                   b.first_seq <= coalesce(
                       find_siblings.branches[b.branch + 1].first_seq - 1, find_siblings.last_seq
                   ) as is_written,
                   max(greatest(v_ends[b.branch], b.branch)) over (
                       partition by b.parent
                       order by b.fork_seq desc
                       groups between unbounded preceding and 1 preceding
                   ) as later_ends_with
            from unnest(find_siblings.branches) as b
            where b.parent = any (v_parents)
        ),
        following as (
            select c.parent, c.fork_seq, c.first_seq as seq, c.ends_with
            from children as c
            where c.is_written
            union all
            select distinct c.parent, c.fork_seq, c.fork_seq + 1, greatest(c.parent, c.later_ends_with)
            from children as c
            where c.fork_seq < coalesce(
                find_siblings.branches[c.parent + 1].first_seq - 1, find_siblings.last_seq
            )
        ),
        placed as (
            select f.*,
                   row_number() over (partition by f.parent, f.fork_seq order by f.seq) as position,
                   count(*) over (partition by f.parent, f.fork_seq) as siblings
            from following as f
        ),
        named as (
            select p.*, m.id
            from placed as p
            cross join lateral (
                select id
                from public.messages
                where messages.user_id = find_siblings.user_id
                  and messages.conversation_id = find_siblings.conversation_id
                  and messages.seq = p.seq
                offset 0
            ) as m
            where p.siblings > 1
              and exists (
                  select 1
                  from placed as o
                  where (o.parent, o.fork_seq) = (p.parent, p.fork_seq)
                    and o.seq <@ find_siblings.page
                    and abs(o.position - p.position) <= c_around
              )
        )
        select coalesce(jsonb_object_agg(
            n.id,
            jsonb_build_object('position', n.position, 'count', n.siblings, 'messages', (
                select jsonb_agg(
                    jsonb_build_object('id', o.id, 'branch', o.ends_with) order by o.position
                )
                from named as o
                where (o.parent, o.fork_seq) = (n.parent, n.fork_seq)
                  and abs(o.position - n.position) <= c_around
            ))
        ), '{}')
        from named as n
        where n.seq <@ find_siblings.page
    );
end;
$$;

grant execute on function private.find_siblings to authenticated, service_role;
comment on function private.find_siblings is 'For each message of a page that has siblings, by its id: its position among them, how many there are, and the nearest with their branches.';
