-- The erasure of a user: everything of theirs is removed, and a receipt says how much that was.

-- No foreign key on user_id: a receipt outlives the account.
create table private.erasure_receipts (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    idempotency_key text not null,
    requested_by text not null,
    conversations bigint not null default 0,
    messages bigint not null default 0,
    turns bigint not null default 0,
    summaries bigint not null default 0,
    import_parts bigint not null default 0,
    held bigint not null default 0,
    requested_at timestamptz not null default now(),
    erased_at timestamptz,

    constraint erasure_receipts_pkey primary key (id),
    constraint erasure_receipts_user_id_idempotency_key_key unique (user_id, idempotency_key),
    constraint erasure_receipts_idempotency_key_length
        check (char_length(idempotency_key) between 1 and 255),
    constraint erasure_receipts_requested_by_known check (requested_by in ('user', 'service'))
);

create index idx_erasure_receipts_unfinished
    on private.erasure_receipts (user_id)
    where erased_at is null;

alter table private.erasure_receipts enable row level security;

create policy withheld on private.erasure_receipts for select to authenticated using (false);

-- Withheld: everything from clients, who get their receipt as an answer. Nobody deletes one.
revoke all on table private.erasure_receipts from public, anon, authenticated, service_role;
grant select on table private.erasure_receipts to service_role;
grant insert (user_id, idempotency_key, requested_by) on table private.erasure_receipts to service_role;
grant update (conversations, messages, turns, summaries, import_parts, held, erased_at)
    on table private.erasure_receipts to service_role;

comment on table private.erasure_receipts is 'What an erasure removed: counts and times, nothing of the content. No policy for select, insert, update, delete: they are the service''s.';
comment on column private.erasure_receipts.summaries is 'How many of the messages were summaries.';
comment on column private.erasure_receipts.import_parts is 'Parts of files that were imported within the last hour.';
comment on column private.erasure_receipts.held is 'Conversations that a legal hold kept.';
comment on column private.erasure_receipts.erased_at is 'When all of it was done; null while some is left.';

create function public.erase_account(
    user_id uuid,
    idempotency_key text,
    requested_by text default 'service',
    most integer default 2000
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    c_messages constant bigint := 50000;
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
    v_receipt private.erasure_receipts;
    v_ahead bigint := 0;
    v_conversation private.conversations;
    v_left bigint;
begin
    insert into private.erasure_receipts (user_id, idempotency_key, requested_by)
    values (erase_account.user_id, erase_account.idempotency_key, erase_account.requested_by)
    on conflict on constraint erasure_receipts_user_id_idempotency_key_key do nothing;

    -- Callers with one key queue here.
    select r.* into v_receipt
    from private.erasure_receipts as r
    where r.user_id = erase_account.user_id
      and r.idempotency_key = erase_account.idempotency_key
    for update;

    if v_receipt.erased_at is not null then
        return to_jsonb(v_receipt) || jsonb_build_object('remaining', 0);
    end if;

    if private.is_held(user_id, null) then
        raise exception 'A legal hold keeps this user''s conversations.'
            using errcode = 'PT409', detail = 'legal_hold';
    end if;

    -- First, since this waits for a part that is being taken: what it made is found below. The next
    -- part finds those before it gone.
    v_receipt.import_parts := v_receipt.import_parts + private.end_imports(user_id);

    for v_conversation in
        select c.*
        from private.conversations as c
        where c.user_id = erase_account.user_id
          and not private.is_held(c.user_id, c.id)
        order by c.id
        limit most
    loop
        select c.* into v_conversation
        from private.conversations as c
        where c.user_id = erase_account.user_id and c.id = v_conversation.id
        for update;
        -- Under the lock nobody adds a message or places a hold any more; one that came before counts.
        continue when not found or private.is_held(user_id, v_conversation.id);

        v_receipt.conversations := v_receipt.conversations + 1;
        v_receipt.messages := v_receipt.messages + (
            select count(*)
            from public.messages as m
            where m.user_id = erase_account.user_id and m.conversation_id = v_conversation.id
        );
        v_receipt.turns := v_receipt.turns + (
            select count(*)
            from public.turns as t
            where t.user_id = erase_account.user_id and t.conversation_id = v_conversation.id
        );
        v_receipt.summaries := v_receipt.summaries + (
            select count(*)
            from public.summaries as s
            where s.user_id = erase_account.user_id and s.conversation_id = v_conversation.id
        );

        delete from public.conversations as c
        where c.user_id = erase_account.user_id and c.id = v_conversation.id;

        v_ahead := v_ahead + v_conversation.last_seq;
        exit when v_ahead >= c_messages or clock_timestamp() > v_until;
    end loop;

    -- Holds on the user have refused already: those that are left are each on a conversation.
    v_receipt.held := (
        select count(distinct h.conversation_id)
        from private.legal_holds as h
        where h.user_id = erase_account.user_id
          and h.released_at is null
    );

    select count(*) - v_receipt.held into v_left
    from private.conversations as c
    where c.user_id = erase_account.user_id;

    -- First all of it is hidden, then what takes longer is removed.
    if v_left = 0 then
        perform private.remove_step(user_id, v_until);
    end if;
    v_left := v_left + cardinality(private.being_deleted(user_id));

    -- Old tables that an adoption put aside, by a function that their migration made. No hold knows
    -- what of them it is about: while there is one, all of it stays.
    if v_left = 0 and v_receipt.held = 0
        and to_regprocedure('legacy_chat.erase_user(uuid, timestamptz)') is not null
    then
        execute 'select legacy_chat.erase_user($1, $2)::integer'
            into v_left
            using user_id, v_until;
    end if;

    v_receipt.erased_at := case when v_left = 0 then clock_timestamp() end;
    update private.erasure_receipts as r
    set conversations = v_receipt.conversations,
        messages = v_receipt.messages,
        turns = v_receipt.turns,
        summaries = v_receipt.summaries,
        import_parts = v_receipt.import_parts,
        held = v_receipt.held,
        erased_at = v_receipt.erased_at
    where r.user_id = erase_account.user_id and r.id = v_receipt.id;

    return to_jsonb(v_receipt) || jsonb_build_object('remaining', v_left);
end;
$$;

revoke all on function public.erase_account from public, anon, authenticated, service_role;
grant execute on function public.erase_account to service_role;
comment on function public.erase_account is 'Deletes a user''s conversations with everything in them, a step at a time, and what they were importing, and answers the receipt with how many remain; the same key goes on, as the sweep does, and answers the same receipt once nothing is left. The receipt counts what it found, also what goes in later steps. Keeps what is held. Leaves the account itself to Auth. Raises PT409.';
