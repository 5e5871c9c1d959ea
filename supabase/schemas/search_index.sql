-- The index that a search reads: the words of each message, and up to where they are in it.
--
-- Row-level security alone can't make a search fast. Postgres lets an operator run before a policy
-- only if it is leakproof, and neither @@ nor LIKE is: under a policy an index on them is left
-- unused. So the index is a table of its own, in a schema that no API serves. Nobody is granted
-- it, and one narrow function (find_messages) reads it as its owner.
--
-- It is not written with the message: that would be most of what a turn's commit writes. A commit
-- leaves at most one small row, the watermark, and index_messages follows.

-- The key does not begin with the user: of an index that begins with one, the planner would read all of a user's
-- words, where what it knows of them is old.
create table search.documents (
    message_id uuid not null,
    starts_at integer not null,
    user_id uuid not null,
    conversation_id uuid not null,
    role text not null,
    created_at timestamptz not null,
    words tsvector not null,

    constraint documents_pkey primary key (message_id, user_id, starts_at),
    constraint documents_user_id_message_id_fkey foreign key (user_id, message_id)
        references public.messages (user_id, id) on delete cascade
);

-- Leads with the user, so that a search costs what its user has stored and not what everybody has.
-- pg_trgm stands where the project had it before: its operators are named by that schema.
do $$
begin
    execute format(
        'create index idx_documents_words
            on search.documents
            using gin (user_id, words, search.long_words(starts_at, words) %s.gin_trgm_ops)',
        (select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm')
    );
end;
$$;

alter table search.documents enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.documents
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.documents from public, anon, authenticated, service_role;

comment on table search.documents is 'The words of each message up to its conversation''s watermark, deleted with it. No policy for insert, update, delete: only index_messages writes. Granted to nobody: only find_messages reads it.';
comment on column search.documents.starts_at is 'The character of the message''s text and code, one after the other, that these words start at.';

-- A place in a conversation is given under its lock, in the order of commits, so one number says what
-- is in the index: no message below it can still appear. The key begins with the user and the only
-- column that changes is in no index.
create table search.watermarks (
    user_id uuid not null,
    conversation_id uuid not null,
    indexed_seq bigint not null,

    constraint watermarks_pkey primary key (user_id, conversation_id),
    constraint watermarks_user_id_conversation_id_fkey foreign key (user_id, conversation_id)
        references public.conversations (user_id, id) on delete cascade
);

alter table search.watermarks enable row level security;

-- It is granted to nobody. Should it ever be, this is what they may see.
create policy select_own on search.watermarks
    for select to authenticated
    using (user_id = (select auth.uid()));

revoke all on table search.watermarks from public, anon, authenticated, service_role;

comment on table search.watermarks is 'The conversations of which not all is in the index. No policy for insert, update, delete: a trigger and index_messages write. Granted to nobody.';
comment on column search.watermarks.indexed_seq is 'Messages with a greater seq are not in the index yet. All messages of a conversation without a row are.';

-- Runs as its owner, because who writes a message may not write the index. Whoever would take a
-- conversation's row away holds the conversation, as every writer does.
create function search.note_unindexed()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into search.watermarks (user_id, conversation_id, indexed_seq)
    values (new.user_id, new.conversation_id, new.seq - 1)
    on conflict on constraint watermarks_pkey do nothing;
    return null;
end;
$$;

comment on function search.note_unindexed is 'Leaves a watermark below a message, where its conversation has none.';

create trigger messages_note_unindexed
    after insert on public.messages
    for each row
    when (new.turn_id is null) -- of a turn's, add_message does it
    execute function search.note_unindexed();

-- Runs as its owner, as the one above.
create function search.forget_words()
returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from search.documents as d
    where d.user_id = any (array[old.user_id, new.user_id])
      and d.message_id = old.id;

    insert into search.watermarks as w (user_id, conversation_id, indexed_seq)
    values (new.user_id, new.conversation_id, new.seq - 1)
    on conflict on constraint watermarks_pkey do update
    set indexed_seq = least(w.indexed_seq, excluded.indexed_seq);
    return null;
end;
$$;

comment on function search.forget_words is 'Takes the words of a changed message out of the index, and its watermark back. Only a repair ever updates a message.';

create trigger messages_forget_words
    after update of id, conversation_id, user_id, role, content, generated_code, created_at, seq
    on public.messages
    for each row
    execute function search.forget_words();
