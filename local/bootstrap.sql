-- Makes an empty Postgres Supabase-shaped, so that the migrations apply to it: the roles, what
-- they find in the schemas public and auth, and nothing of ours. Run as the server's superuser.
-- Safe to run on every start, and after the Auth service has made its own tables.

do $$
declare
    v_role text;
begin
    foreach v_role in array array[
        'anon', 'authenticated', 'service_role', 'postgres',
        'supabase_auth_admin', 'supabase_realtime_admin'
    ]
    loop
        if not exists (select from pg_roles where rolname = v_role) then
            execute format('create role %I nologin noinherit', v_role);
        end if;
    end loop;
    execute format('alter database %I owner to postgres', current_database());
end;
$$;

alter role service_role bypassrls;

-- The role that applies migrations and owns what they make. As on hosted projects no superuser.
alter role postgres inherit createrole createdb bypassrls;
grant anon, authenticated, service_role to postgres with admin option;

-- What functions log in as that call the store at Postgres itself (docs/operations.md).
do $$
begin
    if not exists (select from pg_roles where rolname = 'message_persistence') then
        create role message_persistence login noinherit password 'postgres';
    end if;
end;
$$;
grant authenticated, service_role to message_persistence;

create schema if not exists auth;
create schema if not exists extensions;

alter schema auth owner to supabase_auth_admin;
alter schema extensions owner to postgres;

grant usage on schema public, auth, extensions to postgres, anon, authenticated, service_role;

-- As on a hosted project: what is new in public is nobody's until it is granted.
alter default privileges for role postgres in schema public
    revoke all on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke all on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke all on functions from anon, authenticated, service_role;

-- Only where there is no Auth service: enough for a foreign key.
create table if not exists auth.users (
    id uuid primary key,
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

-- The Auth service's tables are its own; a project's owner may use them and refer to them.
do $$
declare
    v_table regclass;
begin
    for v_table in
        select oid from pg_class where relnamespace = 'auth'::regnamespace and relkind = 'r'
    loop
        execute format('alter table %s owner to supabase_auth_admin', v_table);
        execute format('grant all on table %s to postgres', v_table);
    end loop;
end;
$$;

-- The hosted definitions. Claims come as one object, or each by itself.
create or replace function auth.uid()
returns uuid
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
    )::uuid
$$;

create or replace function auth.role()
returns text
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
    )::text
$$;

create or replace function auth.email()
returns text
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
    )::text
$$;

create or replace function auth.jwt()
returns jsonb
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
