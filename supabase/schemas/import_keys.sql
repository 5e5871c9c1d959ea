-- Under which idempotency keys something was imported: a request that is sent again after its
-- conversations were deleted brings none of them back.
create table private.import_keys (
    user_id uuid not null,
    key_hash bytea not null,

    constraint import_keys_pkey primary key (user_id, key_hash),
    constraint import_keys_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade
);

alter table private.import_keys enable row level security;

create policy withheld on private.import_keys for select to authenticated using (false);

-- Withheld: everything, from everybody.
revoke all on table private.import_keys from public, anon, authenticated, service_role;

comment on table private.import_keys is 'What was imported under a key, for as long as the account exists. No policy for select, insert, update, delete: take_import_part alone uses it.';
comment on column private.import_keys.key_hash is 'SHA-256 of a key and of what one conversation is known by where it is from.';

create function private.keep_import_key(user_id uuid, piece jsonb)
returns void
language sql volatile security invoker set search_path = ''
as $$
    insert into private.import_keys (user_id, key_hash)
    select keep_import_key.user_id, decode(piece -> 'conversation' ->> 'key_hash', 'hex')
    where (piece ->> 'is_last')::boolean
      and piece -> 'conversation' ->> 'key_hash' is not null
    on conflict do nothing;
$$;

comment on function private.keep_import_key is 'Keeps the key under which a conversation was imported, with its last piece: one that was never whole may come again.';

create function private.is_import_key_used(user_id uuid, piece jsonb)
returns boolean
language sql volatile security invoker set search_path = ''
as $$
    select exists (
        select 1
        from private.import_keys as k
        where k.user_id = is_import_key_used.user_id
          and k.key_hash = decode(piece -> 'conversation' ->> 'key_hash', 'hex')
    );
$$;

comment on function private.is_import_key_used is 'Whether a conversation came under this key before.';
