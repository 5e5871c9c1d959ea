-- What a signed-in user reads and manages. All of it runs as the caller, under row-level
-- security, so none of these functions can show more than a plain select would.

create function public.create_conversation(
    user_id uuid,
    title text default 'New Chat',
    project_id uuid default null,
    metadata jsonb default '{}'
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
as $$
#variable_conflict use_column
declare
    v_conversation jsonb;
begin
    perform private.require_self(create_conversation.user_id);

    insert into public.conversations (user_id, title, project_id, metadata)
    values (create_conversation.user_id, create_conversation.title,
            create_conversation.project_id, create_conversation.metadata)
    returning to_jsonb(conversations) - 'deleting_since' into v_conversation;

    return v_conversation;
end;
$$;

revoke all on function public.create_conversation from public, anon, authenticated, service_role;
grant execute on function public.create_conversation to authenticated;
comment on function public.create_conversation is 'Starts an empty conversation of this user''s.';

create function public.get_conversation(user_id uuid, conversation_id uuid)
returns jsonb
language plpgsql stable security invoker set search_path = ''
as $$
begin
    perform private.require_self(user_id);
    return to_jsonb(private.find_conversation(user_id, conversation_id));
end;
$$;

revoke all on function public.get_conversation from public, anon, authenticated, service_role;
grant execute on function public.get_conversation to authenticated, service_role;
comment on function public.get_conversation is 'One conversation''s row. Raises PT404.';

-- A plain keyset: rows come in the order of one index, from one place on. A conversation that is
-- written to meanwhile is at the top when somebody looks again. Sorting is switched off, so that
-- whatever the statistics say there is one plan: it reads the page's rows and no others. A page has
-- a size in bytes too, since metadata may be long.
create function public.list_conversations(
    user_id uuid,
    archived boolean default false,
    project_id uuid default null,
    page_size integer default 50,
    before_updated_at timestamptz default null,
    before_id uuid default null
)
returns jsonb
language plpgsql stable security invoker set search_path = ''
set jit = off -- Postgres up to 17 takes what is off for so dear that compiling pays
set enable_sort = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan -- there is one plan, and planning costs as much as ten rows
as $$
#variable_conflict use_column
declare
    c_page_bytes constant integer := 8000000;
    c_row_bytes constant integer := 1500; -- what a row has beside what is measured, its title included
    v_limit constant integer := least(greatest(page_size, 1), 200);
    v_before constant timestamptz := coalesce(before_updated_at, 'infinity');
    v_before_id constant uuid := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    v_row private.conversations;
    v_rows jsonb[] := '{}';
    v_bytes bigint := 0;
    v_next jsonb;
begin
    perform private.require_self(list_conversations.user_id);

    for v_row in
        select c.*
        from private.conversations as c
        where c.user_id = list_conversations.user_id
          and (c.archived_at is not null) = list_conversations.archived
          and (list_conversations.project_id is null or c.project_id = list_conversations.project_id)
          and (c.updated_at, c.id) < (v_before, v_before_id)
        order by c.updated_at desc, c.id desc
        limit v_limit + 1
    loop
        v_bytes := v_bytes + c_row_bytes + octet_length(v_row.metadata::text)
            + coalesce(octet_length(v_row.imported::text), 0);
        if cardinality(v_rows) = v_limit or v_bytes > c_page_bytes and v_rows <> '{}' then
            v_next := jsonb_build_object(
                'before_updated_at', v_rows[cardinality(v_rows)] -> 'updated_at',
                'before_id', v_rows[cardinality(v_rows)] -> 'id'
            );
            exit;
        end if;
        v_rows := v_rows || to_jsonb(v_row);
    end loop;

    return jsonb_build_object('conversations', v_rows, 'next', v_next);
end;
$$;

revoke all on function public.list_conversations from public, anon, authenticated, service_role;
grant execute on function public.list_conversations to authenticated, service_role;
comment on function public.list_conversations is 'A user''s conversations by last activity, newest first. next has the arguments of the page that follows.';

create function public.update_conversation(
    user_id uuid,
    conversation_id uuid,
    title text default null,
    archived boolean default null,
    active_branch integer default null
)
returns jsonb
language plpgsql volatile security invoker set search_path = ''
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
begin
    perform private.require_self(update_conversation.user_id);

    if active_branch is not null then
        perform private.choose_branch(user_id, conversation_id, active_branch);
    end if;

    update private.conversations as c
    set title = coalesce(update_conversation.title, c.title),
        archived_at = case
            when update_conversation.archived is null then c.archived_at
            when update_conversation.archived then coalesce(c.archived_at, v_now)
        end
    where c.user_id = update_conversation.user_id and c.id = update_conversation.conversation_id;

    return public.get_conversation(user_id, conversation_id);
end;
$$;

revoke all on function public.update_conversation from public, anon, authenticated, service_role;
grant execute on function public.update_conversation to authenticated, service_role;
comment on function public.update_conversation is 'Renames, archives or restores a conversation, or makes the path through a branch the active one; what is null stays as it is. Raises PT404, PT409.';
