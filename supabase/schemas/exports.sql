-- What an export reads, as the caller, under row-level security. A conversation is exported as of
-- the last_seq that its first page named: messages are append-only and their seq has no gaps, so
-- 1 ... last_seq is a snapshot, however long the reading takes.

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
    v_messages jsonb;
begin
    perform private.require_self(export_messages.user_id);

    select c.* into v_conversation
    from private.conversations as c
    where c.user_id = export_messages.user_id and c.id = export_messages.conversation_id;

    if not found then
        raise exception 'Conversation not found.'
            using errcode = 'PT404', detail = 'conversation_not_found';
    end if;

    v_last := least(
        coalesce(until, v_conversation.last_seq), after + least(greatest(page_size, 1), 1000)
    );

    -- A page has a size in bytes too, so that long messages can't make it a large one: it ends
    -- before the message that would take it over, unless that is its first. Metadata counts as it
    -- is sent: stored, it is compressed.
    with sized as (
        select m.*,
               sum(
                   octet_length(m.content)
                   + coalesce(octet_length(m.generated_code), 0)
                   + octet_length(m.metadata::text)
               ) over (order by m.seq) as bytes_so_far,
               row_number() over (order by m.seq) as place
        from public.messages as m
        where m.user_id = export_messages.user_id
          and m.conversation_id = export_messages.conversation_id
          and m.seq > export_messages.after
          and m.seq <= v_last
    )
    -- metadata as text: a number in it may have more digits than readers of JSON keep.
    select coalesce(jsonb_agg(
        to_jsonb(s) - 'bytes_so_far' - 'place'
        || jsonb_build_object(
            'metadata', s.metadata::text,
            'turn', (
                select jsonb_build_object(
                    'id', t.id,
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
                    'error', t.error::text,
                    'started_at', t.started_at,
                    'finished_at', t.finished_at,
                    'cancel_requested_at', t.cancel_requested_at
                )
                from public.turns as t
                where t.user_id = s.user_id and t.id = s.turn_id
                  and s.role = 'user'
            )
        )
        order by s.seq
    ), '[]')
    into v_messages
    from sized as s
    where s.place = 1
       or s.bytes_so_far <= page_bytes;

    return jsonb_build_object(
        'conversation',
        to_jsonb(v_conversation) || jsonb_build_object('metadata', v_conversation.metadata::text),
        'messages', v_messages
    );
end;
$$;

revoke all on function public.export_messages from public, anon, authenticated, service_role;
grant execute on function public.export_messages to authenticated, service_role;
comment on function public.export_messages is 'A conversation and its next messages after a seq, up to another, each with the turn that it opened; at most page_size rows and, beyond the first, page_bytes. Raises PT404.';

create function public.export_conversations(
    user_id uuid,
    after uuid default null,
    page_size integer default 500
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
declare
    v_ids jsonb;
begin
    perform private.require_self(user_id);

    -- By id, which never changes: activity during an export moves nothing over a page's end.
    select coalesce(jsonb_agg(page.id order by page.id), '[]')
    into v_ids
    from (
        select c.id
        from private.conversations as c
        where c.user_id = export_conversations.user_id
          and c.id > coalesce(after, '00000000-0000-0000-0000-000000000000')
        order by c.id
        limit least(greatest(page_size, 1), 1000)
    ) as page;

    return jsonb_build_object('ids', v_ids);
end;
$$;

revoke all on function public.export_conversations from public, anon, authenticated, service_role;
grant execute on function public.export_conversations to authenticated, service_role;
comment on function public.export_conversations is 'The ids of a user''s conversations, archived ones too, in pages by id.';
