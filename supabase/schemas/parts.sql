-- The parts of a message, in the shapes of the AI SDK's UI messages: text, reasoning, tool calls, files,
-- sources, data. A message without parts is its content alone. Of a draft, where most is text and grows
-- at its end, a text part has no text of its own: it is the draft's from the part's offset on, up to
-- that of the next.

create function private.are_parts(parts jsonb)
returns boolean
language sql immutable security invoker set search_path = ''
as $$
    -- Strict, so that an array in the place of a part isn't looked into; silent, so that what a part
    -- lacks is no error, but one part fewer.
    select jsonb_typeof(parts) = 'array'
        and not jsonb_path_exists(parts, 'strict $.**{128}')
        and jsonb_array_length(case jsonb_typeof(parts) when 'array' then parts else '[]' end)
            = jsonb_array_length(jsonb_path_query_array(
                parts,
                'strict $[*] ? (
                    (@.type == "text" || @.type == "reasoning") && @.text.type() == "string"
                    || (@.type == "file" || @.type == "reasoning-file")
                        && @.mediaType.type() == "string" && @.url.type() == "string"
                    || @.type == "source-url"
                        && @.sourceId.type() == "string" && @.url.type() == "string"
                    || @.type == "source-document"
                        && @.sourceId.type() == "string" && @.title.type() == "string"
                    || @.type == "step-start"
                    || @.type == "custom" && @.kind.type() == "string"
                    || @.type == "steering-message" && @.parts.type() == "array"
                    || @.type starts with "data-" && exists (@.data)
                    || (@.type starts with "tool-" || @.type == "dynamic-tool")
                        && @.toolCallId.type() == "string"
                        && @.state like_regex "^(input-(streaming|available)|approval-(requested|responded)|output-(available|error|denied))$"
                )',
                '{}',
                true
            ));
$$;

grant execute on function private.are_parts to authenticated, service_role;
comment on function private.are_parts is 'Whether a value is an array of parts of known types, with what each of them can''t do without, nested less deep than 128.';

-- Whichever heartbeat comes last, the newest version of each part stays.
create function private.merge_draft_parts(stored jsonb, changed jsonb)
returns jsonb
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(jsonb_agg(newest.entry order by newest.place), '[]')
    from (
        select distinct on (place) place, e.entry
        from jsonb_array_elements(stored || changed) as e (entry)
        cross join lateral (select (e.entry ->> 'index')::integer) as i (place)
        order by place, (e.entry ->> 'version')::integer desc
    ) as newest;
$$;

grant execute on function private.merge_draft_parts to service_role;
comment on function private.merge_draft_parts is 'The parts of a draft, [{index, offset, version, part}], with those that have changed.';

create function private.draft_version(draft_parts jsonb)
returns integer
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(max((e.entry ->> 'version')::integer), 0)
    from jsonb_array_elements(draft_parts) as e (entry);
$$;

revoke all on function private.draft_version from public, anon, authenticated, service_role;
grant execute on function private.draft_version to service_role;
comment on function private.draft_version is 'How many changes the parts of a draft have had.';

create function private.parts_of_draft(draft text, draft_parts jsonb)
returns jsonb
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(
        jsonb_agg(
            case p.part ->> 'type'
                when 'text' then p.part || jsonb_build_object(
                    'text', substr(draft, p.starts_at + 1, coalesce(p.next_at, p.ends_at) - p.starts_at)
                )
                else p.part
            end
            order by p.place
        ),
        '[]'
    )
    from (
        select e.entry -> 'part' as part, i.*,
               greatest(char_length(draft), i.starts_at) as ends_at,
               lead(i.starts_at) over (order by i.place) as next_at
        from jsonb_array_elements(draft_parts) as e (entry)
        cross join lateral (
            select (e.entry ->> 'index')::integer, (e.entry ->> 'offset')::integer
        ) as i (place, starts_at)
    ) as p;
$$;

grant execute on function private.parts_of_draft to authenticated, service_role;
comment on function private.parts_of_draft is 'The parts of a draft as those of a message: each text part with its text.';

-- What a model is given of a message beside its text, as shared/ai/tokens.py counts it.
create function private.bytes_beside_text(role text, parts jsonb)
returns bigint
language sql immutable security invoker set search_path = ''
as $$
    select coalesce(sum(
        case
            when p.part ->> 'type' like 'tool-%' or p.part ->> 'type' = 'dynamic-tool'
                then octet_length(p.part::text)
            when p.part ->> 'type' = 'file' and role = 'user' then 3000
            else 0
        end
    ), 0)
    from jsonb_array_elements(parts) as p (part);
$$;

grant execute on function private.bytes_beside_text to authenticated, service_role;
comment on function private.bytes_beside_text is 'How many bytes a message''s parts count for in a history, beside its text.';

-- Texts that another part sets apart are apart in content too, by white space: none of it counts here.
create function private.parts_agree(content text, metadata jsonb, parts jsonb)
returns boolean
language sql immutable security invoker set search_path = ''
as $$
    select case
        when s.said <> '' then s.said = regexp_replace(content, '\s', '', 'g')
        else content in ('', coalesce(metadata -> 'error' ->> 'message', ''))
    end
    from (
        select regexp_replace(
            coalesce(string_agg(p.part ->> 'text', '' order by p.place), ''), '\s', '', 'g'
        ) as said
        from jsonb_array_elements(parts) with ordinality as p (part, place)
        where p.part ->> 'type' = 'text'
    ) as s;
$$;

comment on function private.parts_agree is 'Whether a message''s content is the text of its parts, or where they have none its error''s sentence.';
