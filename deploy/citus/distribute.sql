-- Distributes the schema by user on a Citus cluster. On the coordinator, as a superuser, once, in a
-- database that has the migrations and no tables of anybody else in public, private and search:
--
--     psql -v ON_ERROR_STOP=1 -f deploy/citus/distribute.sql
--
-- Everything starts with the user here: keys, functions, statements. So nothing is listed by name
-- where the catalog can be asked. README.md says what was tried, and what was not.

begin;

do $$
begin
    -- Our triggers touch rows of their row's own user alone, which are in the same shard.
    execute format('alter database %I set citus.enable_unsafe_triggers = on', current_database());
    -- What pass_claims_on() sets for a transaction is set on the nodes that it reaches.
    execute format('alter database %I set citus.propagate_set_commands = local', current_database());
end;
$$;
set local citus.enable_unsafe_triggers = on;
set local citus.multi_shard_modify_mode = 'sequential';

create temporary table our_tables on commit drop as
select c.oid::regclass as name,
       exists (
           select 1
           from pg_attribute as a
           where a.attrelid = c.oid and a.attname = 'user_id' and a.attnotnull
       ) as is_of_users,
       false as is_done
from pg_class as c
where c.relnamespace = any ('{public,private,search}'::regnamespace[])
  and c.relkind = 'r';

-- 1. Keys. A node can't know of an id that another has: `id` alone can be no key, and the key of user
-- and id is there already.
do $$
declare
    v_key record;
    v_other name;
begin
    for v_key in
        select k.conrelid::regclass as table_name, k.conname as name
        from pg_constraint as k
        join our_tables as t on t.name = k.conrelid and t.is_of_users
        where k.contype = 'p'
          and not exists (
              select 1
              from pg_attribute as a
              where a.attrelid = k.conrelid and a.attname = 'user_id' and a.attnum = any (k.conkey)
          )
    loop
        execute format('alter table %s drop constraint %I', v_key.table_name, v_key.name);

        select u.conname into v_other
        from pg_constraint as u
        where u.conrelid = v_key.table_name and u.contype = 'u'
          and pg_get_constraintdef(u.oid) = 'UNIQUE (user_id, id)';

        if found then -- what moves shards identifies rows by it
            execute format(
                'alter table %s replica identity using index %I', v_key.table_name, v_other
            );
        else
            execute format(
                'alter table %s add constraint %I primary key (user_id, id)',
                v_key.table_name, v_key.name
            );
        end if;
    end loop;
end;
$$;

-- 2. Policies without subqueries. They are asked of each row then; each row is one of the caller's.
do $$
declare
    v_policy record;
    v_uid constant text := '( SELECT auth.uid() AS uid)';
begin
    for v_policy in
        select format('%I.%I', p.schemaname, p.tablename) as table_name, p.policyname as name,
               case
                   when p.qual like '%being_deleted%'
                   then 'user_id = auth.uid()'
                       ' and not conversation_id = any (private.being_deleted(auth.uid()))'
                   else replace(p.qual, v_uid, 'auth.uid()')
               end as using_text,
               replace(p.with_check, v_uid, 'auth.uid()') as check_text
        from pg_policies as p
        join our_tables as t on t.name = format('%I.%I', p.schemaname, p.tablename)::regclass
        where concat(p.qual, p.with_check) like '%SELECT%'
    loop
        execute format('alter policy %I on %s', v_policy.name, v_policy.table_name)
            || coalesce(' using (' || v_policy.using_text || ')', '')
            || coalesce(' with check (' || v_policy.check_text || ')', '');
    end loop;
end;
$$;

-- 3. Functions. Citus takes no volatile function in an UPDATE, and a stable one it evaluates once.
create function private.clock()
returns timestamptz
language plpgsql stable security invoker set search_path = ''
as $$
begin
    return clock_timestamp();
end;
$$;

revoke all on function private.clock from public, anon, authenticated, service_role;
grant execute on function private.clock to authenticated, service_role;
comment on function private.clock is 'The time, as a stable function.';

-- Nor does it take functions in SQL that have parameters and read a distributed table; the same
-- statement in PL/pgSQL it does.
do $$
declare
    v_function record;
    v_head text;
    v_body text;
begin
    for v_function in
        select pg_get_functiondef(p.oid) as text, l.lanname as language, p.prosrc as body,
               p.proretset as is_set, format('%I.%I', y.typnamespace::regnamespace, y.typname) as type
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        join pg_type as y on y.oid = p.prorettype
        where p.pronamespace = any ('{public,private,search}'::regnamespace[])
          and p.prokind = 'f'
          and p.proname <> 'clock'
          and (
              l.lanname = 'sql' and p.provolatile <> 'i' and p.pronargs > 0
              or l.lanname = 'plpgsql'
                  and p.prosrc ~ 'clock_timestamp\(\)|returning to_jsonb\('
          )
    loop
        v_head := split_part(v_function.text, E'\nAS $function$', 1);
        v_body := v_function.body;
        if v_function.language = 'sql' then
            v_head := replace(v_head, E'\n LANGUAGE sql', E'\n LANGUAGE plpgsql');
            v_body := regexp_replace(v_body, ';\s*$', '');
            v_body := E'\n#variable_conflict use_column\n' || case
                when v_function.type = 'pg_catalog.void' then 'begin' || v_body || E';\nend;\n'
                when v_function.is_set then E'begin\nreturn query' || v_body || E';\nend;\n'
                else format(
                    E'declare\n    v_first %s;\nbegin\n    for v_first in%s\n    loop\n'
                    '        return v_first;\n    end loop;\n    return null;\nend;\n',
                    v_function.type, v_body
                )
            end;
        end if;
        -- Nor functions in RETURNING that aren't immutable: the row comes back, and is written then.
        if v_body ~ 'returning to_jsonb\(' then
            v_body := regexp_replace(v_body, '\mdeclare\M', E'declare\n    v_returned record;');
            v_body := regexp_replace(
                v_body,
                'returning to_jsonb\((\w+)\)([^;]*) into (\w+);',
                E'returning \\1.* into v_returned;\n    \\3 := to_jsonb(v_returned)\\2;',
                'g'
            );
        end if;
        v_body := replace(v_body, 'clock_timestamp()', 'private.clock()');
        execute v_head || E'\nAS $function$' || v_body || '$function$';
    end loop;
end;
$$;

-- A listing over all users that walks from key to key would be a round of the cluster for each.
create or replace function public.list_users_to_index(most integer default 10000)
returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
begin
    return (
        select jsonb_build_object('users', coalesce(jsonb_agg(u.user_id order by random()), '[]'))
        from (
            select distinct w.user_id
            from search.watermarks as w
            limit list_users_to_index.most
        ) as u
    );
end;
$$;

-- 4. Tables. What is small and of nobody is on every node, and so are the accounts, which rows refer to.
select create_reference_table('auth.users');

do $$
declare
    v_table regclass;
begin
    for v_table in select t.name from our_tables as t where not t.is_of_users loop
        perform create_reference_table(v_table);
    end loop;

    -- A table comes after those that it refers to; all are in one group, a user's rows on one node.
    loop
        select t.name into v_table
        from our_tables as t
        where t.is_of_users
          and not t.is_done
          and not exists (
              select 1
              from pg_constraint as k
              join our_tables as o on o.name = k.confrelid and o.is_of_users and not o.is_done
              where k.conrelid = t.name and k.contype = 'f' and k.confrelid <> t.name
          )
        order by t.name <> 'public.conversations'::regclass, t.name::text
        limit 1;

        exit when not found;
        perform create_distributed_table(
            v_table, 'user_id',
            colocate_with => case v_table
                when 'public.conversations'::regclass then 'none'
                else 'public.conversations'
            end
        );
        update our_tables as t set is_done = true where t.name = v_table;
    end loop;
end;
$$;

-- Grants of columns stay on the coordinator, where they are asked for; shards take those of the table.
select run_command_on_placements(
    g.name, format('grant %s on table %%s to %I', g.privilege_type, g.grantee)
)
from (
    select distinct t.name, p.privilege_type, p.grantee
    from information_schema.column_privileges as p
    join our_tables as t on t.name = format('%I.%I', p.table_schema, p.table_name)::regclass
    where p.grantee in ('authenticated', 'service_role')
      and t.is_of_users
      and not has_table_privilege(p.grantee, t.name, p.privilege_type)
) as g;

-- 5. Calls go to the node that has the user, whole: one round trip, however many statements are in it.
select create_distributed_function(p.oid::regprocedure, 'user_id', 'public.conversations')
from pg_proc as p
where p.pronamespace = 'public'::regnamespace
  and p.prokind = 'f'
  and p.proargnames[1] = 'user_id'
  and p.proargtypes[0] = 'uuid'::regtype;

-- Who is calling goes with the call: PGRST_DB_PRE_REQUEST=public.pass_claims_on.
create function public.pass_claims_on()
returns void
language plpgsql volatile security invoker set search_path = ''
as $$
begin
    execute format(
        'set local request.jwt.claims = %L',
        coalesce(current_setting('request.jwt.claims', true), '')
    );
end;
$$;

revoke all on function public.pass_claims_on from public, anon, authenticated, service_role;
grant execute on function public.pass_claims_on to anon, authenticated, service_role;
comment on function public.pass_claims_on is 'Sets the claims of a request again, in the way that reaches other nodes.';

commit;
