-- Each statement makes a difference that tests/sql/test_migrations.py must see.
create or replace function public.ping() returns jsonb language sql stable set search_path = ''
    as 'select jsonb_build_object(1, 2)';
create or replace function private.require_self(user_id uuid default null) returns void
    language plpgsql stable set search_path = '' as 'begin end';
create function public.ping(a int) returns int language sql begin atomic select 1; end;
create aggregate private.planted (int) (sfunc = int4pl, stype = int);
alter function public.ping() security definer;
alter function public.ping() owner to service_role;
alter function public.ping() depends on extension pg_trgm;
grant execute on function public.ping() to public;
revoke execute on function public.ping() from postgres;
grant delete on public.turns to service_role;
grant update (content) on public.messages to authenticated;
grant usage on schema search to service_role;
grant usage on type public.branches to anon with grant option;
alter default privileges in schema public grant select on tables to anon;
comment on function public.ping() is 'Changed.';
comment on column public.turns.attempt is null;
comment on extension pg_trgm is 'Changed.';
alter policy select_own on public.turns using (user_id = auth.uid());
alter policy select_own on public.turns to anon;
alter policy insert_own on public.conversations with check (true);
drop policy listen_to_own_conversation on realtime.messages;
create policy planted on auth.users using (true);
alter table public.turns disable row level security;
alter table public.messages set (toast.autovacuum_enabled = off);
create table private.planted () inherits (public.turns);
create or replace view private.conversations as select * from private.conversations where false;
alter table public.messages disable trigger messages_broadcast;
create or replace trigger messages_broadcast before delete on public.messages
    for each row execute function private.broadcast_message();
alter table public.turns add constraint planted foreign key (user_id, conversation_id)
    references public.conversations (user_id, id) match full on delete set null (conversation_id);
alter table public.turns add constraint planted unique nulls not distinct (user_id, attempt);
create index planted on public.turns (lower(status) collate "C" text_pattern_ops desc)
    include (attempt) where attempt > 1;
alter table public.turns alter column replays set default 1;
alter table public.turns alter column status type text collate "C";
alter table public.turns add column planted int generated always as (attempt + 1) stored;
create sequence private.planted increment 7 minvalue 3 cycle cache 9;
create type public.planted as enum ('one', 'two');
create domain private.planted as text check (value <> '') not null default 'x';
create statistics private.planted on status, attempt from public.turns;
create publication planted for table public.turns (id, user_id) where (attempt > 1);
create function auth.planted() returns event_trigger language plpgsql as 'begin end'; -- and
create event trigger planted on ddl_command_end execute function auth.planted();
create operator private.=== (leftarg = int, rightarg = int, function = int4eq);
create cast (public.branches as text) with inout;
create schema planted;
