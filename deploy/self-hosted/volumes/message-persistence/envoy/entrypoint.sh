#!/bin/sh
# Starts self-hosted Supabase's Envoy with two routes more: to the message persistence service, and
# one that refuses estimated counts.
#
# Supabase's own files stay as they are, and as they become with its updates. What Envoy reads is
# made of them at each start: our route before the one to all other functions, our cluster
# behind the others. Where they no longer look as expected, this says so and Envoy doesn't start.
set -eu

ours=${MESSAGE_PERSISTENCE_FILES:-/message-persistence}
theirs=${SUPABASE_ENVOY_FILES:-/message-persistence/supabase}
made=${ENVOY_FILES:-/etc/envoy}
: "${MESSAGE_PERSISTENCE_HOST:=message-persistence}" "${MESSAGE_PERSISTENCE_PORT:=8000}"

fail() {
    echo "message persistence: $1" >&2
    exit 1
}

# Print a file with each line of another one before the first line that holds a text, as far to the
# right as that line is.
insert_before() { # <text> <what to insert> <file> [<only after a line with this text>]
    anchor=$1 inserted=$2 found= after=${4:-}
    while IFS= read -r line || [ -n "$line" ]; do
        if [ -n "$after" ]; then
            case $line in *"$after"*) after= ;; esac
            printf '%s\n' "$line"
            continue
        fi
        case $line in
        *"$anchor"*)
            if [ -z "$found" ]; then
                found=yes
                indent=${line%%[! ]*}
                while IFS= read -r ours_line; do
                    printf '%s%s\n' "$indent" "$ours_line"
                done <"$inserted"
            fi
            ;;
        esac
        printf '%s\n' "$line"
    done <"$3"
    [ -n "$found" ] || fail "no '${4:-$anchor}' in $3: has Supabase changed it?"
}

template=$made/lds.template.yaml
insert_before '- ' "$ours/count.yaml" "$theirs/lds.template.yaml" ' routes:' >"$template"
insert_before '- name: functions-v1-all' "$ours/route.yaml" "$template" >"$template.new"
if grep -q 'local_reply_config:' "$template.new"; then
    echo "message persistence: $theirs/lds.template.yaml words its errors itself; ours stay out" >&2
    mv "$template.new" "$template"
else
    insert_before 'route_config:' "$ours/errors.yaml" "$template.new" >"$template"
    rm "$template.new"
fi
{
    cat "$theirs/cds.yaml"
    echo
    sed -e "s|\${MESSAGE_PERSISTENCE_HOST}|$MESSAGE_PERSISTENCE_HOST|" \
        -e "s|\${MESSAGE_PERSISTENCE_PORT}|$MESSAGE_PERSISTENCE_PORT|" \
        -e 's|^|  |' "$ours/cluster.yaml"
} >"$made/cds.yaml"

exec /bin/sh "${SUPABASE_ENTRYPOINT:-/docker-entrypoint.sh}" "$@"
