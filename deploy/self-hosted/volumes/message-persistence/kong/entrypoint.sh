#!/bin/sh
# Starts self-hosted Supabase's Kong with one service more: message persistence. Written, not run.
#
# Supabase's own files stay as they are, and as they become with its updates. What Kong reads is
# made of them at each start: our service goes before all others. A path that is a regular
# expression, as ours is, comes before any that is a prefix, as Supabase's are. Where they no longer
# look as expected, this says so and Kong doesn't start.
set -eu

ours=${MESSAGE_PERSISTENCE_FILES:-/message-persistence}
theirs=$ours/supabase/kong.yml
start=${SUPABASE_ENTRYPOINT:-/home/kong/kong-entrypoint.sh}
# Beside what Supabase's own script writes: Kong's user may write nowhere else that we know of.
made=${KONG_DECLARATIVE_CONFIG%/*}/message-persistence

fail() {
    echo "message persistence: $1: has Supabase changed it?" >&2
    exit 1
}

# Before version 3 of the format an expression had no mark, and Kong itself puts one before each.
case $(sed -n 's/^_format_version: *//p' "$theirs") in
*[12].1*) unmark="s|'~/|'/|" ;;
*) unmark= ;;
esac

found=
while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line"
    if [ "$line" = services: ] && [ -z "$found" ]; then
        found=yes
        sed -e "$unmark" -e 's|^|  |' "$ours/services.yaml"
    fi
done <"$theirs" >"$made.yml"
[ -n "$found" ] || fail "no 'services:' in kong.yml"

sed -e "s|/home/kong/temp.yml|$made.yml|" "$start" >"$made.sh"
grep -qF "$made.yml" "$made.sh" || fail "no '/home/kong/temp.yml' in kong-entrypoint.sh"

exec /bin/sh "$made.sh" "$@"
