-- What all the others stand on: two extensions, and the schemas beside public. What is in public,
-- somebody calls or reads over the Data API, which serves no other schema. An extension that the
-- project has already stays where it is.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

create schema search;

grant usage on schema search to authenticated;

comment on schema search is 'What search_messages stands on. Not for the Data API to serve.';

create schema private;

-- To authenticated as well: functions that run as the caller use a few of its helpers.
grant usage on schema private to authenticated, service_role;

comment on schema private is 'Helpers, trigger functions and the backend''s own tables. Not for the Data API to serve.';

create function public.ping()
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'version', '20261127000001',
        'position', pg_wal_lsn_diff(
            case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
            '0/0'
        )
    );
$$;

revoke all on function public.ping from public, anon, authenticated, service_role;
grant execute on function public.ping to service_role;
comment on function public.ping is 'Answers the version of the newest migration, which a deep health check asks and the doctor compares, and how far the log of this server is, written or replayed: {version, position}.';

-- Rows that are made one after another have ids side by side: with random ones each would be written
-- to another page of an index, which goes into the log whole after each checkpoint.
create function private.new_id()
returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
begin
    return encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    placing substr(
                        int8send((extract(epoch from clock_timestamp()) * 1000)::bigint), 3
                    )
                    from 1 for 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid;
end;
$$;

grant execute on function private.new_id to authenticated, service_role;
comment on function private.new_id is 'A UUID of version 7: the milliseconds of now, then random bits.';

-- A caller with a token passes his own id; the service passes that of the user it acts for.
create function private.require_self(user_id uuid)
returns void
language plpgsql stable security invoker set search_path = ''
as $$
begin
    -- Where nobody is signed in, the database itself is calling: a schedule, or its owner.
    if auth.uid() is distinct from user_id
        and current_user <> 'service_role'
        and (auth.uid() is not null or current_user = 'authenticated') then
        raise exception 'Only for yourself.' using errcode = 'PT403', detail = 'forbidden';
    end if;
end;
$$;

grant execute on function private.require_self to authenticated, service_role;
comment on function private.require_self is 'Raises PT403 where a signed-in caller names another user.';
