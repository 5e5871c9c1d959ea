-- Live events on the private topic conversation:<id>. They are sent inside the transaction that
-- writes the row, so none is about something that was rolled back. They are hints: the
-- tables are the truth, and realtime.send turns its own failures into warnings.
create function private.describe_event(message public.messages, described jsonb)
returns jsonb
language plpgsql immutable security invoker set search_path = ''
as $$
declare
    -- Realtime carries 256 kB a payload on the smallest plan; larger rows are fetched.
    c_row_limit constant integer := 32768;
    v_event constant jsonb := jsonb_build_object(
        'id', message.id, 'seq', message.seq, 'role', message.role, 'turnId', message.turn_id
    );
begin
    if pg_column_size(described) > c_row_limit then
        return v_event;
    end if;
    return v_event || jsonb_build_object('row', described);
end;
$$;

comment on function private.describe_event is 'The event of a message, with its row as jsonb while that is small.';

create function private.broadcast_message()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform realtime.send(
        private.describe_event(new, to_jsonb(new)),
        'message',
        'conversation:' || new.conversation_id,
        true
    );
    return null;
end;
$$;

comment on function private.broadcast_message is 'Sends a message that this transaction commits to its conversation''s topic.';

create trigger messages_broadcast
    after insert on public.messages
    for each row
    when (coalesce(current_setting('message_persistence.placed_by', true), '') = '')
    execute function private.broadcast_message();

-- Runs as its owner, as the one above: the statements of realtime.send would be planned again each
-- time that another role calls it, and a turn's commit calls it for both.
create function private.broadcast_status(
    conversation_id uuid,
    turn_id uuid,
    status text,
    message text default null
)
returns void
language plpgsql volatile security definer set search_path = ''
as $$
begin
    perform realtime.send(
        jsonb_strip_nulls(jsonb_build_object(
            'turnId', turn_id, 'status', status, 'message', message
        )),
        'status',
        'conversation:' || conversation_id,
        true
    );
end;
$$;

grant execute on function private.broadcast_status to service_role;
comment on function private.broadcast_status is 'Sends a turn''s status to its conversation''s topic, as part of this transaction.';

-- Only the owner listens. The topic is compared as text: a stranger's odd topic must not raise.
-- There is no policy for insert, so clients can't send. As text, since the migration that makes it
-- stands by itself, and the doctor prints it where it is missing.
create function private.listen_policy()
returns text
language sql immutable security invoker set search_path = ''
as $$
    select $policy$create policy listen_to_own_conversation on realtime.messages
    for select to authenticated
    using (
        realtime.messages.extension = 'broadcast'
        and exists (
            select 1
            from public.conversations
            where conversations.user_id = (select auth.uid())
              and 'conversation:' || conversations.id::text = (select realtime.topic())
        )
    );$policy$;
$$;

comment on function private.listen_policy is 'The statement that lets owners listen to their conversations.';

-- Live events carry what was said. Only Realtime may delete them, which it does after three days:
-- their content goes at once with their conversation, whoever deletes it. Runs as its owner, because
-- no policy lets a client change them, and never stands in the way of a removal, a limit on time
-- included. By day, in which the events are kept, and not beyond the life of what is removed: that
-- of an import was written down by another clock.
create function private.forget_events()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    update realtime.messages as m
    set topic = 'erased',
        payload = '{}'
    from removed as r
    where m.topic = 'conversation:' || r.id
      and m.extension = 'broadcast'
      and m.private is true -- as the index of hosted projects has it
      and m.inserted_at
          >= greatest(r.created_at - interval '1 hour', now() - interval '4 days') at time zone 'utc';

    return null;
exception
    when query_canceled or others then
        raise warning 'live events of deleted conversations are left to Realtime: %', sqlstate;
        return null;
end;
$$;

comment on function private.forget_events is 'Empties the live events of conversations that were deleted, as far as that is allowed.';

create trigger conversations_forget_events
    after delete on public.conversations
    referencing old table as removed
    for each statement
    execute function private.forget_events();
