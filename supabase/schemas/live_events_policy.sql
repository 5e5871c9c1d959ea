-- The policy on Realtime's table, in a migration of its own. That table is the platform's: some projects
-- refuse a policy on it, and what a platform refuses must not stop all the rest. Without it nobody
-- listens, and the doctor says so, with the statement that is missing.
do $$
begin
    if not exists (
        select 1
        from pg_policies
        where schemaname = 'realtime'
          and tablename = 'messages'
          and policyname = 'listen_to_own_conversation'
    ) then
        execute private.listen_policy();
    end if;
exception
    when others then
        raise warning 'nobody can listen to live events: %', sqlerrm
            using hint = 'python -m shared.doctor says what to do.';
end;
$$;
