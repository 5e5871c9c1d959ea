-- What all the others stand on: two extensions, and the schema of the search index.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

create schema search;

grant usage on schema search to authenticated;

comment on schema search is 'What search_messages stands on. Not for the Data API to serve.';
