#!/bin/sh
# Starts self-hosted Supabase's Kong with one service more: message persistence. Written, not run.
#
# Supabase's own file stays as it is, and as it becomes with its updates. What Kong reads is made of
# it anew at each start: our service goes before all others. A path that is a regular expression,
# as ours is, comes before any that is a prefix, as Supabase's are.
set -eu

ours=${MESSAGE_PERSISTENCE_FILES:-/message-persistence}
made=${KONG_FILE:-/home/kong/temp.yml}

found=
while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line"
    if [ "$line" = services: ] && [ -z "$found" ]; then
        found=yes
        sed -e 's|^|  |' "$ours/services.yaml"
    fi
done <"$ours/supabase/kong.yml" >"$made"
if [ -z "$found" ]; then
    echo "message persistence: no 'services:' in kong.yml: has Supabase changed it?" >&2
    exit 1
fi

exec /bin/sh "${SUPABASE_ENTRYPOINT:-/home/kong/kong-entrypoint.sh}" "$@"
