-- The first of the two atomic steps around the AI's work: the user's message is committed and its
-- turn opened, or what the key led to before is found, in one round trip.

create function private.title_from_request(request text)
returns text
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(
        nullif(btrim(left(regexp_replace(btrim(left(request, 400)), '\s+', ' ', 'g'), 80)), ''),
        'New Chat'
    );
$$;

grant execute on function private.title_from_request to service_role;
comment on function private.title_from_request is 'The title of a conversation that starts with this request: its first 80 characters on one line.';

create function public.begin_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    request text,
    message_id uuid,
    conversation_id uuid default null,
    project_id uuid default null,
    metadata jsonb default '{}',
    parts jsonb default '[]',
    native jsonb default null,
    lease_seconds integer default 120,
    history_tokens integer default 100000,
    turns_per_minute integer default null,
    turns_per_day integer default null,
    tokens_per_day bigint default null,
    edits uuid default null,
    regenerates uuid default null,
    opens_conversation boolean default false,
    known_from bigint default null,
    known_id uuid default null,
    known_tokens bigint default null
)
returns json
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
    v_turn public.turns;
    v_answers uuid;
    v_stored record;
begin
    if opens_conversation then
        -- Nothing where the id is taken already: by this user's, which is then found, or not.
        insert into public.conversations (id, user_id, project_id, title)
        values (begin_turn.conversation_id, begin_turn.user_id, begin_turn.project_id,
                private.title_from_request(request))
        on conflict do nothing;
    end if;

    loop
        if conversation_id is null then
            v_conversation.id := private.new_id();
        else
            select c.* into v_conversation
            from private.conversations as c
            where c.user_id = begin_turn.user_id and c.id = begin_turn.conversation_id
            for update;
        end if;

        -- Of callers with one key at once, the index lets one open the turn, and with it the
        -- conversation that is new; another index lets a conversation have one running turn.
        with opened as (
            insert into public.turns
                (id, user_id, conversation_id, idempotency_key, request_hash, lease_expires_at)
            select case when regenerates is null then private.new_id() else message_id end,
                   begin_turn.user_id, v_conversation.id, begin_turn.idempotency_key,
                   coalesce(begin_turn.request_hash, ''),
                   clock_timestamp() + make_interval(secs => lease_seconds)
            where v_conversation.id is not null
            on conflict do nothing
            returning *
        ),
        started as (
            insert into public.conversations (id, user_id, project_id, title)
            select o.conversation_id, o.user_id, begin_turn.project_id,
                   private.title_from_request(request)
            from opened as o
            where begin_turn.conversation_id is null
        )
        select o.* into v_turn from opened as o;

        exit when found;

        -- Under the lock: whoever came before with this key has committed its turn.
        if exists (
            select 1
            from public.turns as t
            where t.user_id = begin_turn.user_id
              and t.idempotency_key = begin_turn.idempotency_key
        ) then
            return private.resume_turn(
                user_id, idempotency_key, request_hash, message_id, lease_seconds, history_tokens
            );
        elsif v_conversation.id is null then
            raise exception 'Conversation not found.'
                using errcode = 'PT404', detail = 'conversation_not_found';
        end if;

        select t.* into v_turn
        from public.turns as t
        where t.user_id = begin_turn.user_id and t.conversation_id = begin_turn.conversation_id
          and t.status = 'running';

        if found and v_turn.lease_expires_at > clock_timestamp() then
            return private.describe_turn(user_id, v_turn.id, 'in_progress');
        elsif found then
            perform private.interrupt_turn(user_id, v_turn.id);
        elsif regenerates is not null then
            raise exception 'This idempotency key was used for another request.'
                using errcode = 'PT422', detail = 'idempotency_key_reused'; -- by the turn's id
        end if;
    end loop;

    if exists (
        select 1
        from private.turn_usage as u
        where u.user_id = begin_turn.user_id
          and u.key_hash = sha256(convert_to(begin_turn.idempotency_key, 'utf8'))
    ) then
        -- It led to a turn whose conversation was deleted.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;
    if num_nonnulls(turns_per_minute, turns_per_day, tokens_per_day) > 0 then
        perform private.require_turns_left(
            user_id, turns_per_minute, turns_per_day, tokens_per_day
        );
    end if;

    if conversation_id is null then
        select c.* into v_conversation
        from private.conversations as c
        where c.user_id = begin_turn.user_id and c.id = v_turn.conversation_id;
    end if;

    if num_nonnulls(edits, regenerates) > 0 then
        v_conversation := private.fork_conversation(user_id, v_conversation, edits, regenerates);
    end if;
    if regenerates is not null then
        v_answers := (private.find_answered(user_id, v_conversation, regenerates)).id;

        update public.turns as t
        set answers = v_answers
        where t.user_id = begin_turn.user_id and t.id = v_turn.id;

        perform private.broadcast(v_conversation.id, v_turn.id, 'accepted');
        return private.describe_turn(user_id, v_turn.id, 'started', history_tokens);
    end if;

    v_stored := private.add_message(
        user_id, v_conversation, v_turn.id, message_id, 'user', request, null, metadata, parts, native,
        'accepted', null
    );
    return private.describe_rows(
        user_id, 'started', v_turn, v_stored.conversation, v_stored.described, null,
        history_tokens, known_from, known_id, known_tokens
    );
end;
$$;

revoke all on function public.begin_turn from public, anon, authenticated, service_role;
grant execute on function public.begin_turn to service_role;
comment on function public.begin_turn is 'Commits a user''s message and opens its turn; one that edits a message stands beside it, and a turn that regenerates a reply answers its message once more and has none of its own: message_id is the turn''s id then. Answers {outcome: started | taken_over | replayed | in_progress, turn, conversation, user_message, reply, history}, the last as load_history, and null but where the AI is to work. That of a turn that stores its own message lacks the messages from known_from to that of known_id, if it would begin with them (history.known); known_tokens is their sum, if known. Without a request_hash the key is that of a turn that is known. With opens_conversation the conversation of that id is begun where there is none. Raises PT404, also for a key whose conversation was deleted and for a message that is not there, PT422, PT429.';

-- A turn that its owner has stopped is stopped for good, also where its worker never knew.
create function private.resume_turn(
    user_id uuid,
    idempotency_key text,
    request_hash text,
    message_id uuid,
    lease_seconds integer,
    history_tokens integer
)
returns json
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_turn public.turns;
begin
    perform 1
    from private.conversations as c
    where c.user_id = resume_turn.user_id
      and c.id = (
          select t.conversation_id
          from public.turns as t
          where t.user_id = resume_turn.user_id
            and t.idempotency_key = resume_turn.idempotency_key
      )
    for update;

    select t.* into v_turn
    from public.turns as t
    where t.user_id = resume_turn.user_id
      and t.idempotency_key = resume_turn.idempotency_key
    for update;

    if not found then
        -- Its conversation was deleted in the meantime.
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    elsif v_turn.request_hash <> resume_turn.request_hash then
        raise exception 'This idempotency key was used for another request.'
            using errcode = 'PT422', detail = 'idempotency_key_reused';
    end if;

    if v_turn.status = 'running'
        and v_turn.attempt = 1
        and (
            v_turn.id = resume_turn.message_id
            or exists (
                select 1
                from public.messages as m
                where m.user_id = resume_turn.user_id and m.turn_id = v_turn.id
                  and m.role = 'user'
                  and m.id = resume_turn.message_id
            )
        )
    then
        -- The same call again: its answer was lost on the way, so nobody works on it yet.
        return private.describe_turn(user_id, v_turn.id, 'started', history_tokens);
    end if;

    if v_turn.status = 'running' and v_turn.lease_expires_at <= clock_timestamp() then
        if v_turn.cancel_requested_at is null then
            update public.turns as t
            set attempt = t.attempt + 1,
                draft = '',
                draft_parts = '[]',
                lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds)
            where t.user_id = resume_turn.user_id and t.id = v_turn.id;

            perform private.broadcast(v_turn.conversation_id, v_turn.id, 'accepted');
            return private.describe_turn(user_id, v_turn.id, 'taken_over', history_tokens);
        end if;
        perform private.interrupt_turn(user_id, v_turn.id);
    end if;

    update public.turns as t
    set replays = t.replays + 1
    where t.user_id = resume_turn.user_id and t.id = v_turn.id;

    return private.describe_turn(user_id, v_turn.id);
end;
$$;

grant execute on function private.resume_turn to service_role;
comment on function private.resume_turn is 'What a known key leads to: the stored reply, word that it still runs, or the turn taken over where its lease is over. Counts the first two as replays. Raises PT404, PT422.';
