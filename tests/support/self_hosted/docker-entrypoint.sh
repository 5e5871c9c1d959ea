#!/bin/sh
# In the place of self-hosted Supabase's file of this name: fills the template in, starts Envoy.
set -e
sed -e "s|\${PORT}|$PORT|" "$ENVOY_FILES/lds.template.yaml" >"$ENVOY_FILES/lds.yaml"
sed -i -e "s|\${STACK_PORT}|$STACK_PORT|" -e "s|\${EDGE_PORT}|$EDGE_PORT|" "$ENVOY_FILES/cds.yaml"
sed -e "s|\${ENVOY_FILES}|$ENVOY_FILES|" "$SUPABASE_ENVOY_FILES/envoy.yaml" >"$ENVOY_FILES/envoy.yaml"
exec "$ENVOY" -c "$ENVOY_FILES/envoy.yaml" "$@"
