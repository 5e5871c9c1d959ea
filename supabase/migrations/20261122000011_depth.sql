-- Clients write metadata of their own over the Data API, which nests as deep as Postgres can hold:
-- far deeper than most readers of JSON follow. What endpoints take themselves has 64 levels at
-- most. Rows that were there before are not asked, so that nobody's upgrade stops at one.

alter table public.conversations
    add constraint conversations_metadata_depth
        check (not jsonb_path_exists(metadata, 'strict $.**{128}')) not valid;

alter table public.messages
    add constraint messages_metadata_depth
        check (not jsonb_path_exists(metadata, 'strict $.**{128}')) not valid;
