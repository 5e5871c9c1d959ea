-- What an export reads, as the caller, under row-level security. A conversation is exported as of
-- the last_seq that its first page named: messages are append-only and their seq has no gaps, so
-- 1 ... last_seq is a snapshot, however long the reading takes. Each call is bounded in rows and in
-- bytes, and reads not much more than it answers: a row may have megabytes.

-- Goes through the messages one by one, and ends with the one that is too much. Metadata counts as
-- it is sent: stored, it is compressed.
create function private.measure_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    most bigint,
    most_bytes bigint
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message record;
    v_until bigint := after;
    v_bytes bigint := 0;
begin
    for v_message in
        select m.seq,
               octet_length(m.content) + coalesce(octet_length(m.generated_code), 0)
                   + octet_length(m.metadata::text) + octet_length(m.parts::text)
                   + coalesce(octet_length(m.native::text), 0) as bytes
        from public.messages as m
        where m.user_id = measure_messages.user_id
          and m.conversation_id = measure_messages.conversation_id
          and m.seq > measure_messages.after
        order by m.seq
        limit greatest(most, 0)
    loop
        exit when v_bytes + v_message.bytes > most_bytes;
        v_until := v_message.seq;
        v_bytes := v_bytes + v_message.bytes;
    end loop;
    return jsonb_build_object('until', v_until, 'bytes', v_bytes);
end;
$$;

grant execute on function private.measure_messages to authenticated, service_role;
comment on function private.measure_messages is 'How far the messages after a seq go within so many rows and bytes, and how many bytes that is: {until, bytes}.';

-- metadata, parts and native as text: a number in them may have more digits than readers of JSON keep.
create function private.exported_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    until bigint
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(
        to_jsonb(m)
        || jsonb_build_object(
            'metadata', m.metadata::text,
            'parts', m.parts::text,
            'native', m.native::text,
            'turn', (
                select jsonb_build_object(
                    'id', t.id,
                    'answers', t.answers,
                    'status', t.status,
                    'attempt', t.attempt,
                    'idempotency_key', t.idempotency_key,
                    'reply_message_id', (
                        select r.id
                        from public.messages as r
                        where r.user_id = t.user_id and r.turn_id = t.id
                          and r.role = 'assistant'
                    ),
                    'draft', t.draft,
                    'draft_parts', t.draft_parts::text,
                    'error', t.error::text,
                    'started_at', t.started_at,
                    'finished_at', t.finished_at,
                    'cancel_requested_at', t.cancel_requested_at
                )
                from public.turns as t
                where t.user_id = exported_messages.user_id and t.id = m.turn_id
                  and (m.role = 'user' or t.answers is not null)
            )
        )
        order by m.seq
    ), '[]')
    from public.messages as m
    where m.user_id = exported_messages.user_id
      and m.conversation_id = exported_messages.conversation_id
      and m.seq > exported_messages.after
      and m.seq <= exported_messages.until;
$$;

grant execute on function private.exported_messages to authenticated, service_role;
comment on function private.exported_messages is 'Messages in order, each with the turn that it opened; a reply that was made once more has its own.';

create function private.exported_branches(
    user_id uuid,
    conversation private.conversations
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
begin
    if conversation.last_branch = 0 then
        return '{"branches": []}';
    end if;
    return jsonb_build_object('branches', (
        select coalesce(jsonb_agg(
            jsonb_build_object(
                'branch', b.branch, 'parent', b.parent,
                'fork_seq', b.fork_seq, 'first_seq', b.first_seq
            )
            order by b.branch
        ), '[]')
        from public.branches as b
        where b.user_id = exported_branches.user_id
          and b.conversation_id = exported_branches.conversation.id
    ));
end;
$$;

grant execute on function private.exported_branches to authenticated, service_role;
comment on function private.exported_branches is 'From where each branch of a conversation goes on: {branches}.';

create function public.export_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint default 0,
    until bigint default null,
    page_size integer default 500,
    page_bytes integer default 1000000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation private.conversations;
    v_last bigint;
    v_measured jsonb;
begin
    perform private.require_self(export_messages.user_id);

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = export_messages.user_id
      and c.id = export_messages.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_last := least(
        coalesce(until, v_conversation.last_seq), after + least(greatest(page_size, 1), 1000)
    );
    v_measured := private.measure_messages(user_id, conversation_id, after, v_last - after, page_bytes);

    return jsonb_build_object(
        'conversation',
        to_jsonb(v_conversation) || jsonb_build_object('metadata', v_conversation.metadata::text)
            || case when after = 0 then private.exported_branches(user_id, v_conversation) else '{}' end,
        'messages',
        private.exported_messages(
            user_id, conversation_id, after,
            greatest((v_measured ->> 'until')::bigint, least(after + 1, v_last))
        )
    );
end;
$$;

revoke all on function public.export_messages from public, anon, authenticated, service_role;
grant execute on function public.export_messages to authenticated, service_role;
comment on function public.export_messages is 'A conversation and its next messages after a seq, up to another, each with the turn that it opened; at most page_size rows and, beyond the first, page_bytes. Raises PT404.';

-- By id, which never changes: activity during an export moves nothing over a page's end.
create function public.export_conversations(
    user_id uuid,
    after uuid default null,
    until uuid default null,
    page_size integer default 1000,
    page_bytes integer default 1000000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 500;
    v_conversation record;
    v_measured jsonb;
    v_rows bigint := least(greatest(page_size, 1), 1000);
    v_bytes bigint := page_bytes;
    v_until bigint;
    v_ids uuid[] := '{}';
    v_untils bigint[] := '{}';
begin
    perform private.require_self(export_conversations.user_id);

    for v_conversation in
        select c.id, c.last_seq,
               octet_length(c.metadata::text) + coalesce(octet_length(c.imported::text), 0)
                   + c.last_branch * 80 as bytes
        from private.conversations as c
        where c.user_id = export_conversations.user_id
          and c.id > coalesce(after, '00000000-0000-0000-0000-000000000000')
          and c.id <= coalesce(export_conversations.until, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by c.id
        limit c_conversations
    loop
        v_bytes := v_bytes - v_conversation.bytes;
        v_measured := private.measure_messages(
            user_id, v_conversation.id, 0, least(v_conversation.last_seq, v_rows), v_bytes
        );
        v_until := (v_measured ->> 'until')::bigint;

        if v_ids = '{}' then
            v_until := greatest(v_until, least(v_conversation.last_seq, 1));
        elsif v_bytes < 0 or v_until = 0 and v_conversation.last_seq > 0 then
            exit;
        end if;

        v_ids := v_ids || v_conversation.id;
        v_untils := v_untils || v_until;
        v_rows := v_rows - v_until;
        v_bytes := v_bytes - (v_measured ->> 'bytes')::bigint;
        exit when v_until < v_conversation.last_seq;
    end loop;

    return jsonb_build_object('conversations', (
        select coalesce(jsonb_agg(
            jsonb_build_object(
                'conversation', to_jsonb(c) || jsonb_build_object('metadata', c.metadata::text)
                    || private.exported_branches(export_conversations.user_id, c),
                'messages', private.exported_messages(
                    export_conversations.user_id, c.id, 0, chosen.until
                )
            )
            order by c.id
        ), '[]')
        from unnest(v_ids, v_untils) as chosen (id, until)
        join private.conversations as c
            on c.user_id = export_conversations.user_id and c.id = chosen.id
    ));
end;
$$;

revoke all on function public.export_conversations from public, anon, authenticated, service_role;
grant execute on function public.export_conversations to authenticated, service_role;
comment on function public.export_conversations is 'The next of a user''s conversations by id, archived ones too, each with its messages: {conversations: [{conversation, messages}]}. At most page_size messages and, beyond the first, page_bytes; the last conversation may lack some, which export_messages has.';

create function public.plan_export(
    user_id uuid,
    after uuid default null,
    most_bytes bigint default 30000000,
    most_messages bigint default 50000,
    most_conversations integer default 5000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation record;
    v_until uuid;
    v_measured jsonb;
    v_messages bigint := most_messages;
    v_bytes bigint := most_bytes;
begin
    perform private.require_self(plan_export.user_id);

    for v_conversation in
        select c.id, c.last_seq, octet_length(c.metadata::text) as bytes
        from private.conversations as c
        where c.user_id = plan_export.user_id
          and c.id > coalesce(after, '00000000-0000-0000-0000-000000000000')
        order by c.id
        limit most_conversations
    loop
        v_messages := v_messages - v_conversation.last_seq;
        exit when v_messages < 0 and v_until is not null;

        v_bytes := v_bytes - v_conversation.bytes;
        v_measured := private.measure_messages(
            user_id, v_conversation.id, 0, least(v_conversation.last_seq, most_messages), v_bytes
        );
        v_bytes := v_bytes - (v_measured ->> 'bytes')::bigint;
        exit when (v_measured ->> 'until')::bigint < v_conversation.last_seq and v_until is not null;

        v_until := v_conversation.id;
        exit when v_bytes <= 0 or (v_measured ->> 'until')::bigint < v_conversation.last_seq;
    end loop;

    return jsonb_build_object(
        'until', v_until,
        'more', exists (
            select 1
            from private.conversations as c
            where c.user_id = plan_export.user_id
              and c.id > v_until
        )
    );
end;
$$;

revoke all on function public.plan_export from public, anon, authenticated, service_role;
grant execute on function public.plan_export to authenticated, service_role;
comment on function public.plan_export is 'How far a part of an account''s export goes, by the ids of conversations: {until, more}. Always one conversation, however large, and further ones within so many bytes and messages.';
