-- What runs by itself, where the database has pg_cron; elsewhere a scheduler calls the functions of
-- the same names.

do $$
begin
    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        perform cron.schedule('sweep-turns', '* * * * *', 'select public.sweep_turns()');
        perform cron.schedule(
            'apply-retention', '*/15 * * * *', 'select public.apply_retention(dry_run => false)'
        );
    end if;
end;
$$;
