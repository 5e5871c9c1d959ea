-- What all the others stand on: two extensions, and the schemas beside public. What is in public,
-- somebody calls or reads over the Data API, which serves no other schema.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

create schema search;

grant usage on schema search to authenticated;

comment on schema search is 'What search_messages stands on. Not for the Data API to serve.';

create schema private;

-- To authenticated as well: functions that run as the caller use a few of its helpers.
grant usage on schema private to authenticated, service_role;

comment on schema private is
    'Helpers, trigger functions and the backend''s own tables. Not for the Data API to serve.';

create function public.ping()
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object('version', '20261127000000');
$$;

revoke all on function public.ping from public, anon, authenticated, service_role;
grant execute on function public.ping to service_role;
comment on function public.ping is
    'Answers the version of the newest migration: what a deep health check asks, and the doctor compares.';
