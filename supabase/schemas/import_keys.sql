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

comment on table private.import_keys is 'What was imported under a key, for as long as the account exists. No policy for select, insert, update, delete: commit_import alone uses it.';
comment on column private.import_keys.key_hash is 'SHA-256 of a key and of what one conversation is known by where it is from.';

create function private.claim_import_keys(user_id uuid, import_id uuid)
returns uuid[]
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_known uuid[];
begin
    with keyed as (
        select (header ->> 'id')::uuid as id, decode(header ->> 'key_hash', 'hex') as key_hash
        from private.import_parts as p
        cross join lateral jsonb_array_elements(p.conversations) as h (header)
        where p.user_id = claim_import_keys.user_id
          and p.import_id = claim_import_keys.import_id
          and header ->> 'key_hash' is not null
    ),
    claimed as (
        insert into private.import_keys (user_id, key_hash)
        select distinct claim_import_keys.user_id, k.key_hash
        from keyed as k
        order by k.key_hash
        on conflict do nothing
        returning key_hash
    )
    select coalesce(array_agg(k.id), '{}') into v_known
    from keyed as k
    where k.key_hash not in (select c.key_hash from claimed as c);
    return v_known;
end;
$$;

revoke all on function private.claim_import_keys from public, anon, authenticated, service_role;
comment on function private.claim_import_keys is 'Keeps the keys of a staged import, and answers which of its conversations had theirs before. Of two at once, the second waits for the first.';
