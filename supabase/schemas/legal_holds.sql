-- Legal holds: what is held is removed by nobody until the hold is released.

create table private.legal_holds (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    conversation_id uuid,
    reason text not null,
    placed_at timestamptz not null default now(),
    released_at timestamptz,

    constraint legal_holds_pkey primary key (id),
    constraint legal_holds_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint legal_holds_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade,
    constraint legal_holds_reason_length check (char_length(reason) between 1 and 500)
);

create index idx_legal_holds_user_id_conversation_id
    on private.legal_holds (user_id, conversation_id);

alter table private.legal_holds enable row level security;

create policy withheld on private.legal_holds for select to authenticated using (false);

-- Withheld: everything from clients, and from the service all but placing and releasing.
revoke all on table private.legal_holds from public, anon, authenticated, service_role;
grant select on table private.legal_holds to service_role;
grant insert (user_id, conversation_id, reason) on table private.legal_holds to service_role;
grant update (released_at) on table private.legal_holds to service_role;

comment on table private.legal_holds is 'What must not be removed: a conversation, or with a null conversation_id all of a user''s. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.legal_holds.released_at is 'Until then nothing of what is held can be deleted, by anybody.';

create function private.is_held(user_id uuid, conversation_id uuid)
returns boolean
language sql stable security invoker set search_path = ''
as $$
    select exists (
        select 1
        from private.legal_holds as h
        where h.user_id = is_held.user_id
          and (h.conversation_id is null or h.conversation_id = is_held.conversation_id)
          and h.released_at is null
    );
$$;

grant execute on function private.is_held to service_role;
comment on function private.is_held is 'Whether a legal hold keeps a conversation of this user''s.';

-- Runs as its owner, because whoever deletes may not see the holds. It is the one place that all
-- deletions pass: the owner's, the service's, retention, erasure, and that of the account, which
-- deletes its holds too: whichever goes first, one in force refuses. A conversation's row is locked by
-- then, and placing a hold waits for that lock.
create function private.refuse_held_removal()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if tg_table_name = 'legal_holds' or private.is_held(old.user_id, old.id) then
        raise exception 'A legal hold %.', tg_argv[0]
            using errcode = 'PT409', detail = 'legal_hold';
    end if;
    return old;
end;
$$;

comment on function private.refuse_held_removal is 'Raises PT409 where a hold that was not released, or a conversation that one keeps, is to be deleted.';

create trigger conversations_refuse_held_removal
    before delete on public.conversations
    for each row
    when (old.deleting_since is null)
    execute function private.refuse_held_removal('keeps this conversation');

create trigger legal_holds_refuse_held_removal
    before delete on private.legal_holds
    for each row
    when (old.released_at is null)
    execute function private.refuse_held_removal('is in force');

create function public.place_legal_hold(
    user_id uuid,
    reason text,
    conversation_id uuid default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_hold jsonb;
begin
    insert into private.legal_holds (user_id, conversation_id, reason)
    values (place_legal_hold.user_id, place_legal_hold.conversation_id, place_legal_hold.reason)
    returning to_jsonb(legal_holds) into v_hold;

    -- A removal that has begun ends first, and is then none of this hold's; a later one sees it.
    perform 1
    from private.conversations as c
    where c.user_id = place_legal_hold.user_id
      and (place_legal_hold.conversation_id is null or c.id = place_legal_hold.conversation_id)
    order by c.id
    for key share;

    if not found and conversation_id is not null then
        raise foreign_key_violation;
    end if;
    return v_hold;
exception
    when foreign_key_violation then
        if conversation_id is null then
            raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
        end if;
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
end;
$$;

revoke all on function public.place_legal_hold from public, anon, authenticated, service_role;
grant execute on function public.place_legal_hold to service_role;
comment on function public.place_legal_hold is 'Keeps a conversation, or all of a user''s, from being removed until the hold is released. Raises PT404.';

create function public.list_legal_holds(
    user_id uuid default null,
    conversation_id uuid default null,
    released boolean default false
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'holds', coalesce(jsonb_agg(to_jsonb(h) order by h.placed_at desc, h.id desc), '[]')
    )
    from (
        select h.*
        from private.legal_holds as h
        where (h.released_at is not null) = list_legal_holds.released
          and (list_legal_holds.user_id is null or h.user_id = list_legal_holds.user_id)
          and (
              list_legal_holds.conversation_id is null
              or h.conversation_id = list_legal_holds.conversation_id
          )
        order by h.placed_at desc, h.id desc
        limit 1000
    ) as h;
$$;

revoke all on function public.list_legal_holds from public, anon, authenticated, service_role;
grant execute on function public.list_legal_holds to service_role;
comment on function public.list_legal_holds is 'Legal holds that are in force, or that were released, newest first, 1,000 at most.';

create function public.release_legal_hold(user_id uuid, hold_id uuid)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_hold jsonb;
begin
    update private.legal_holds as h
    set released_at = coalesce(h.released_at, v_now)
    where h.user_id = release_legal_hold.user_id and h.id = release_legal_hold.hold_id
    returning to_jsonb(h) into v_hold;

    if not found then
        raise exception 'Legal hold not found.'
            using errcode = 'PT404', detail = 'legal_hold_not_found';
    end if;
    return v_hold;
end;
$$;

revoke all on function public.release_legal_hold from public, anon, authenticated, service_role;
grant execute on function public.release_legal_hold to service_role;
comment on function public.release_legal_hold is 'Ends a legal hold; one that has ended stays as it is. Raises PT404.';
