-- What an export reads, as the caller, under row-level security. A conversation is exported as of
-- the last_seq that its first page named: messages are append-only and their seq has no gaps, so
-- 1 ... last_seq is a snapshot, however long the reading takes. Each call is bounded in rows and in
-- bytes, and reads not much more than it answers: a row may have megabytes.

-- Goes through the messages one by one, and ends before the one that is too much, but not before the
-- first. Metadata counts as it is sent: stored, it is compressed.
create function private.measure_messages(
    user_id uuid,
    conversation_id uuid,
    after bigint,
    most bigint,
    most_bytes bigint,
    out until bigint,
    out bytes bigint
)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_message record;
begin
    until := after;
    bytes := 0;
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
        exit when until > after and bytes + v_message.bytes > most_bytes;
        until := v_message.seq;
        bytes := bytes + v_message.bytes;
    end loop;
end;
$$;

grant execute on function private.measure_messages to authenticated, service_role;
comment on function private.measure_messages is 'How far the messages after a seq go within so many rows and bytes, one at least, and how many bytes that is.';

-- By id, which never changes: activity during an export moves nothing over a page's end.
create function private.measure_conversations(
    user_id uuid,
    after uuid,
    until uuid,
    most integer,
    most_messages bigint,
    most_bytes bigint
)
returns table (conversation private.conversations, until_seq bigint, is_whole boolean)
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_measured record;
    v_messages bigint := most_messages;
    v_bytes bigint := most_bytes;
begin
    for conversation in
        select c.*
        from private.conversations as c
        where c.user_id = measure_conversations.user_id
          and c.id > coalesce(after, '00000000-0000-0000-0000-000000000000')
          and c.id <= coalesce(measure_conversations.until, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by c.id
        limit most
    loop
        v_bytes := v_bytes - octet_length(conversation.metadata::text)
            - coalesce(octet_length(conversation.imported::text), 0) - conversation.last_branch * 80;
        v_measured := private.measure_messages(
            user_id, conversation.id, 0, least(conversation.last_seq, v_messages), v_bytes
        );
        v_messages := v_messages - v_measured.until;
        v_bytes := v_bytes - v_measured.bytes;
        exit when v_bytes < 0 and until_seq is not null;

        until_seq := v_measured.until;
        is_whole := until_seq >= conversation.last_seq;
        return next;
        exit when v_messages <= 0 or not is_whole;
    end loop;
end;
$$;

grant execute on function private.measure_conversations to authenticated, service_role;
comment on function private.measure_conversations is 'Which conversations come next by id, and how far the messages of each go, within so many messages and bytes: always one, however large, and only of the last is there more.';

-- metadata, parts and native as text: a number in them may have more digits than readers of JSON keep.
create function private.exported_page(
    user_id uuid,
    conversation private.conversations,
    after bigint,
    until bigint
)
returns jsonb
language sql stable security invoker set search_path = ''
as $$
    select jsonb_build_object(
        'conversation', to_jsonb(conversation) || jsonb_build_object(
            'metadata', conversation.metadata::text,
            'branches', (
                select coalesce(jsonb_agg(to_jsonb(fork) order by fork.branch), '[]')
                from (
                    select b.branch, b.parent, b.fork_seq, b.first_seq
                    from public.branches as b
                    where b.user_id = exported_page.user_id
                      and b.conversation_id = conversation.id
                      and conversation.last_branch > 0
                      and exported_page.after = 0
                ) as fork
            )
        ),
        'messages', (
            select coalesce(jsonb_agg(
                to_jsonb(m)
                || jsonb_build_object(
                    'metadata', m.metadata::text,
                    'parts', m.parts::text,
                    'native', m.native::text,
                    'turn', (
                        select to_jsonb(opened)
                        from (
                            select t.id, t.answers, t.status, t.attempt, t.idempotency_key,
                                   t.draft, t.draft_parts::text, t.error::text,
                                   t.started_at, t.finished_at, t.cancel_requested_at,
                                   (
                                       select r.id
                                       from public.messages as r
                                       where r.user_id = t.user_id and r.turn_id = t.id
                                         and r.role = 'assistant'
                                   ) as reply_message_id
                            from public.turns as t
                            where t.user_id = exported_page.user_id and t.id = m.turn_id
                              and (m.role = 'user' or t.answers is not null)
                        ) as opened
                    )
                )
                order by m.seq
            ), '[]')
            from public.messages as m
            where m.user_id = exported_page.user_id
              and m.conversation_id = conversation.id
              and m.seq > exported_page.after
              and m.seq <= exported_page.until
        )
    );
$$;

grant execute on function private.exported_page to authenticated, service_role;
comment on function private.exported_page is 'A conversation and its messages between two places, each with the turn that it opened; a reply that was made once more has its own. With the first of them come the branches.';

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
declare
    v_conversation private.conversations;
    v_most bigint;
    v_measured record;
begin
    perform private.require_self(user_id);
    v_conversation := private.find_conversation(user_id, conversation_id);
    v_most := least(
        coalesce(until, v_conversation.last_seq) - after, least(greatest(page_size, 1), 1000)
    );
    v_measured := private.measure_messages(user_id, conversation_id, after, v_most, page_bytes);
    return private.exported_page(user_id, v_conversation, after, v_measured.until);
end;
$$;

revoke all on function public.export_messages from public, anon, authenticated, service_role;
grant execute on function public.export_messages to authenticated, service_role;
comment on function public.export_messages is 'A conversation and its next messages after a seq, up to another, each with the turn that it opened; at most page_size rows and, beyond the first, page_bytes. Raises PT404.';

create function public.export_conversations(
    user_id uuid,
    after uuid default null,
    until uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 500;
    c_messages constant bigint := 1000;
    c_bytes constant bigint := 1000000;
begin
    perform private.require_self(export_conversations.user_id);

    return jsonb_build_object('conversations', (
        select coalesce(jsonb_agg(
            private.exported_page(
                export_conversations.user_id, chosen.conversation, 0, chosen.until_seq
            )
            order by (chosen.conversation).id
        ), '[]')
        from private.measure_conversations(
            export_conversations.user_id, after, export_conversations.until,
            c_conversations, c_messages, c_bytes
        ) as chosen
    ));
end;
$$;

revoke all on function public.export_conversations from public, anon, authenticated, service_role;
grant execute on function public.export_conversations to authenticated, service_role;
comment on function public.export_conversations is 'The next of a user''s conversations by id, archived ones too, each with its messages: {conversations: [{conversation, messages}]}. At most 1,000 messages and, beyond the first, a megabyte; the last conversation may lack some, which export_messages has.';

create function public.plan_export(
    user_id uuid,
    after uuid default null,
    most_bytes bigint default 30000000
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    c_conversations constant integer := 5000;
    c_messages constant bigint := 50000;
    v_until uuid;
begin
    perform private.require_self(plan_export.user_id);

    select (chosen.conversation).id into v_until
    from private.measure_conversations(
        plan_export.user_id, after, null, c_conversations, c_messages, most_bytes
    ) with ordinality as chosen (conversation, until_seq, is_whole, nth)
    where chosen.is_whole or chosen.nth = 1
    order by chosen.nth desc
    limit 1;

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
