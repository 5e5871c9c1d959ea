-- How long conversations are kept: policies that archive and delete what lies idle, and legal
-- holds, against which nothing is removed by anybody.

create table public.retention_policies (
    id uuid not null default gen_random_uuid(),
    user_id uuid,
    project_id uuid,
    archive_after_days integer,
    delete_after_days integer,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint retention_policies_pkey primary key (id),
    constraint retention_policies_scope_key unique nulls not distinct (user_id, project_id),
    constraint retention_policies_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint retention_policies_one_scope check (num_nonnulls(user_id, project_id) <= 1),
    constraint retention_policies_archive_after check (archive_after_days between 1 and 36500),
    constraint retention_policies_delete_after check (delete_after_days between 1 and 36500),
    constraint retention_policies_archive_first check (archive_after_days <= delete_after_days)
);

alter table public.retention_policies enable row level security;

-- Withheld from clients: everything. What is kept of a user is the operator's to say.
revoke all on table public.retention_policies from public, anon, authenticated, service_role;
grant select, delete on table public.retention_policies to service_role;
grant insert (user_id, project_id, archive_after_days, delete_after_days)
    on table public.retention_policies to service_role;
grant update (archive_after_days, delete_after_days, updated_at)
    on table public.retention_policies to service_role;

comment on table public.retention_policies is
    'After how many idle days conversations are archived and deleted: of a user, else of a project, else of everybody. No policy for select, insert, update, delete: they are the service''s.';
comment on column public.retention_policies.user_id is
    'Whose conversations; null with a null project_id is everybody''s.';
comment on column public.retention_policies.archive_after_days is
    'Null is never. A policy of two nulls keeps what a wider one would remove.';

create table public.legal_holds (
    id uuid not null default gen_random_uuid(),
    user_id uuid not null,
    conversation_id uuid,
    reason text not null,
    placed_at timestamptz not null default now(),
    released_at timestamptz,

    constraint legal_holds_pkey primary key (id),
    constraint legal_holds_user_id_fkey foreign key (user_id)
        references auth.users (id) on delete cascade,
    constraint legal_holds_conversation_id_user_id_fkey foreign key (conversation_id, user_id)
        references public.conversations (id, user_id) on delete cascade,
    constraint legal_holds_reason_length check (char_length(reason) between 1 and 500)
);

create index idx_legal_holds_user_id
    on public.legal_holds (user_id);
create index idx_legal_holds_conversation_id
    on public.legal_holds (conversation_id, user_id);

alter table public.legal_holds enable row level security;

-- Withheld: everything from clients, and from the service all but placing and releasing.
revoke all on table public.legal_holds from public, anon, authenticated, service_role;
grant select on table public.legal_holds to service_role;
grant insert (user_id, conversation_id, reason) on table public.legal_holds to service_role;
grant update (released_at) on table public.legal_holds to service_role;

comment on table public.legal_holds is
    'What must not be removed: a conversation, or with a null conversation_id all of a user''s. No policy for select, insert, update, delete: they are the service''s.';
comment on column public.legal_holds.released_at is
    'Until then nothing of what is held can be deleted, by anybody.';

create function public.is_held(conversation_id uuid, user_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
    select exists (
        select 1
        from public.legal_holds as h
        where h.user_id = is_held.user_id
          and (h.conversation_id is null or h.conversation_id = is_held.conversation_id)
          and h.released_at is null
    );
$$;

revoke all on function public.is_held(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.is_held(uuid, uuid) to service_role;
comment on function public.is_held(uuid, uuid) is
    'Whether a legal hold keeps a conversation of this user''s.';

-- Runs as its owner, because whoever deletes may not see the holds. It is the one place that all
-- deletions pass: the owner's, the service's, retention, erasure, and that of the account. The row
-- is locked by then, and placing a hold waits for that lock.
create function public.refuse_held_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if public.is_held(old.id, old.user_id) then
        raise exception 'A legal hold keeps this conversation.'
            using errcode = 'PT409', detail = 'legal_hold';
    end if;
    return old;
end;
$$;

revoke all on function public.refuse_held_removal() from public, anon, authenticated, service_role;
comment on function public.refuse_held_removal() is
    'Raises PT409 where a legal hold keeps the conversation that is to be deleted.';

create trigger conversations_refuse_held_removal
    before delete on public.conversations
    for each row
    execute function public.refuse_held_removal();

-- Deleting an account deletes its holds too: whichever goes first, one in force refuses.
create function public.refuse_unreleased_removal()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
    if old.released_at is null then
        raise exception 'A legal hold is in force.'
            using errcode = 'PT409', detail = 'legal_hold';
    end if;
    return old;
end;
$$;

revoke all on function public.refuse_unreleased_removal()
    from public, anon, authenticated, service_role;
comment on function public.refuse_unreleased_removal() is
    'Raises PT409 where a hold that was not released is to be deleted.';

create trigger legal_holds_refuse_unreleased_removal
    before delete on public.legal_holds
    for each row
    execute function public.refuse_unreleased_removal();

create function public.place_legal_hold(
    reason text,
    user_id uuid default null,
    conversation_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_user_id uuid := user_id;
    v_hold jsonb;
begin
    if conversation_id is not null then
        select c.user_id into v_user_id
        from public.conversations as c
        where c.id = place_legal_hold.conversation_id
          and (place_legal_hold.user_id is null or c.user_id = place_legal_hold.user_id)
        for key share;

        if not found then
            raise exception 'Conversation not found.'
                using errcode = 'PT404', detail = 'conversation_not_found';
        end if;
    end if;

    insert into public.legal_holds (user_id, conversation_id, reason)
    values (v_user_id, place_legal_hold.conversation_id, place_legal_hold.reason)
    returning to_jsonb(legal_holds) into v_hold;

    -- A removal that has begun ends first, and is then none of this hold's; a later one sees it.
    if conversation_id is null then
        perform 1
        from public.conversations as c
        where c.user_id = v_user_id
        order by c.id
        for key share;
    end if;

    return v_hold;
exception
    when foreign_key_violation then
        raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
end;
$$;

revoke all on function public.place_legal_hold(text, uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.place_legal_hold(text, uuid, uuid) to service_role;
comment on function public.place_legal_hold(text, uuid, uuid) is
    'Keeps a conversation, or all of a user''s, from being removed until the hold is released. Raises PT404.';

create function public.list_legal_holds(
    user_id uuid default null,
    conversation_id uuid default null,
    released boolean default false
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'holds', coalesce(jsonb_agg(to_jsonb(h) order by h.placed_at desc, h.id desc), '[]')
    )
    from (
        select h.*
        from public.legal_holds as h
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

revoke all on function public.list_legal_holds(uuid, uuid, boolean)
    from public, anon, authenticated, service_role;
grant execute on function public.list_legal_holds(uuid, uuid, boolean) to service_role;
comment on function public.list_legal_holds(uuid, uuid, boolean) is
    'Legal holds that are in force, or that were released, newest first, 1,000 at most.';

create function public.release_legal_hold(hold_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_hold jsonb;
begin
    update public.legal_holds as h
    set released_at = coalesce(h.released_at, now())
    where h.id = release_legal_hold.hold_id
    returning to_jsonb(h) into v_hold;

    if not found then
        raise exception 'Legal hold not found.'
            using errcode = 'PT404', detail = 'legal_hold_not_found';
    end if;
    return v_hold;
end;
$$;

revoke all on function public.release_legal_hold(uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.release_legal_hold(uuid) to service_role;
comment on function public.release_legal_hold(uuid) is
    'Ends a legal hold; one that has ended stays as it is. Raises PT404.';

create function public.set_retention_policy(
    user_id uuid default null,
    project_id uuid default null,
    archive_after_days integer default null,
    delete_after_days integer default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
declare
    v_policy jsonb;
begin
    insert into public.retention_policies
        (user_id, project_id, archive_after_days, delete_after_days)
    values
        (set_retention_policy.user_id, set_retention_policy.project_id,
         set_retention_policy.archive_after_days, set_retention_policy.delete_after_days)
    on conflict on constraint retention_policies_scope_key do update
    set archive_after_days = excluded.archive_after_days,
        delete_after_days = excluded.delete_after_days,
        updated_at = now()
    returning to_jsonb(retention_policies) into v_policy;

    return v_policy;
exception
    when foreign_key_violation then
        raise exception 'User not found.' using errcode = 'PT404', detail = 'user_not_found';
end;
$$;

revoke all on function public.set_retention_policy(uuid, uuid, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.set_retention_policy(uuid, uuid, integer, integer) to service_role;
comment on function public.set_retention_policy(uuid, uuid, integer, integer) is
    'Sets the one policy of a user, of a project, or of everybody. Raises PT404.';

create function public.list_retention_policies(
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
    select jsonb_build_object(
        'policies', coalesce(jsonb_agg(to_jsonb(p) order by p.created_at, p.id), '[]')
    )
    from (
        select p.*
        from public.retention_policies as p
        where (list_retention_policies.user_id is null or p.user_id = list_retention_policies.user_id)
          and (
              list_retention_policies.project_id is null
              or p.project_id = list_retention_policies.project_id
          )
        order by p.created_at, p.id
        limit 1000
    ) as p;
$$;

revoke all on function public.list_retention_policies(uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.list_retention_policies(uuid, uuid) to service_role;
comment on function public.list_retention_policies(uuid, uuid) is
    'The retention policies, oldest first, 1,000 at most.';

create function public.delete_retention_policy(policy_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
#variable_conflict use_column
begin
    delete from public.retention_policies as p
    where p.id = delete_retention_policy.policy_id;

    if not found then
        raise exception 'Retention policy not found.'
            using errcode = 'PT404', detail = 'retention_policy_not_found';
    end if;
    return jsonb_build_object('id', policy_id);
end;
$$;

revoke all on function public.delete_retention_policy(uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.delete_retention_policy(uuid) to service_role;
comment on function public.delete_retention_policy(uuid) is
    'Removes a retention policy: a wider one applies from then on, or none. Raises PT404.';

-- Restoring is a use of a conversation, but no activity in it: it keeps its place in the list, and
-- retention counts its idle days anew.
alter table public.conversations
    add column restored_at timestamptz;

comment on column public.conversations.restored_at is
    'When it last came back from the archive. Written by the database.';

create function public.note_restore()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
    new.restored_at := now();
    return new;
end;
$$;

revoke all on function public.note_restore() from public, anon, authenticated, service_role;
comment on function public.note_restore() is
    'Writes down when a conversation came back from the archive, whoever restored it.';

create trigger conversations_note_restore
    before update of archived_at on public.conversations
    for each row
    when (old.archived_at is not null and new.archived_at is null)
    execute function public.note_restore();

-- What retention reads: the conversations that nobody has written to for longest.
create index idx_conversations_updated_at
    on public.conversations (updated_at);

create function public.retention_due(
    due_at timestamptz,
    most integer,
    user_id uuid default null,
    project_id uuid default null,
    among uuid[] default null
)
returns table (conversation_id uuid, action text)
language sql
stable
security invoker
set search_path = ''
as $$
    select c.id, case when is_over.delete then 'delete' else 'archive' end
    from public.conversations as c
    -- The one policy that applies: the most specific.
    cross join lateral (
        select p.archive_after_days, p.delete_after_days
        from public.retention_policies as p
        where p.user_id = c.user_id
           or p.project_id = c.project_id
           or num_nonnulls(p.user_id, p.project_id) = 0
        order by p.user_id nulls last, p.project_id nulls last
        limit 1
    ) as policy
    cross join lateral (
        select
            idle.since < due_at - make_interval(days => policy.delete_after_days) as delete,
            c.archived_at is null
                and idle.since < due_at - make_interval(days => policy.archive_after_days) as archive
        from (select greatest(c.updated_at, c.restored_at) as since) as idle
    ) as is_over
    where (is_over.delete or is_over.archive)
      -- No policy removes what is younger than this; the index knows what is not.
      and c.updated_at < due_at - make_interval(days => (
          select min(least(p.archive_after_days, p.delete_after_days))
          from public.retention_policies as p
      ))
      and (retention_due.user_id is null or c.user_id = retention_due.user_id)
      and (retention_due.project_id is null or c.project_id = retention_due.project_id)
      and (among is null or c.id = any(among))
      and not public.is_held(c.id, c.user_id)
      and not exists (
          select 1
          from public.turns as t
          where t.conversation_id = c.id
            and t.status = 'running'
      )
    order by c.updated_at, c.id
    limit most;
$$;

revoke all on function public.retention_due(timestamptz, integer, uuid, uuid, uuid[])
    from public, anon, authenticated, service_role;
grant execute on function public.retention_due(timestamptz, integer, uuid, uuid, uuid[])
    to service_role;
comment on function public.retention_due(timestamptz, integer, uuid, uuid, uuid[]) is
    'What retention is to do by a moment, longest idle first: the one rule, for the dry run and the real one. Leaves out what is held, and what has a running turn.';

create function public.apply_retention(
    dry_run boolean default true,
    most integer default 500,
    user_id uuid default null,
    project_id uuid default null
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
set statement_timeout = '10min'
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_found uuid[];
    v_chosen uuid[];
    v_archive uuid[];
    v_delete uuid[];
    v_removed jsonb;
begin
    select coalesce(array_agg(d.conversation_id), '{}')
    into v_found
    from public.retention_due(v_now, most + 1, user_id, project_id) as d;

    v_chosen := v_found[:most];

    if not dry_run then
        -- What somebody is writing to is in use: it is left for the next time.
        select coalesce(array_agg(locked.id), '{}')
        into v_chosen
        from (
            select c.id
            from public.conversations as c
            where c.id = any(v_chosen)
            order by c.id
            for update skip locked
        ) as locked;
    end if;

    -- Asked again, since only under the lock nobody writes, restores or places a hold any more.
    select
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'archive'), '{}'),
        coalesce(array_agg(d.conversation_id) filter (where d.action = 'delete'), '{}')
    into v_archive, v_delete
    from public.retention_due(v_now, most, user_id, project_id, v_chosen) as d;

    select jsonb_build_object(
        'conversations', cardinality(v_delete),
        'messages', (select count(*) from public.messages as m where m.conversation_id = any(v_delete)),
        'turns', (select count(*) from public.turns as t where t.conversation_id = any(v_delete))
    )
    into v_removed;

    if not dry_run then
        update public.conversations as c
        set archived_at = v_now
        where c.id = any(v_archive);

        delete from public.conversations as c
        where c.id = any(v_delete);
    end if;

    return jsonb_build_object(
        'dry_run', dry_run,
        'archived', cardinality(v_archive),
        'deleted', v_removed,
        'skipped', least(cardinality(v_found), most) - cardinality(v_archive) - cardinality(v_delete),
        'more', cardinality(v_found) > most
    );
end;
$$;

revoke all on function public.apply_retention(boolean, integer, uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.apply_retention(boolean, integer, uuid, uuid) to service_role;
comment on function public.apply_retention(boolean, integer, uuid, uuid) is
    'Archives and deletes what the policies say, so many conversations at most, longest idle first; a dry run only counts. Skips what is being written to. Run by pg_cron where it exists, else by calling apply-retention.';

do $$
begin
    if exists (select 1 from pg_extension where extname = 'pg_cron') then
        perform cron.schedule(
            'apply-retention', '*/15 * * * *', 'select public.apply_retention(dry_run => false)'
        );
    end if;
end;
$$;
