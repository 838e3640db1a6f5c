#!/usr/bin/env bash
# Starts nats-server, three nodes (7001-7003) and two gateways (8080, 8081) on the loop-back address, and stops them all
# on Ctrl-C. RINGWAY and NATS_SERVER name the binaries where they aren't on the PATH.
set -euo pipefail
cd "$(dirname "$0")"
RINGWAY=${RINGWAY:-ringway}
NATS_SERVER=${NATS_SERVER:-nats-server}
trap 'trap - EXIT; kill 0' EXIT INT TERM

"$NATS_SERVER" --addr 127.0.0.1 --port 4222 &
for n in 1 2 3; do
    RINGWAY_NODE__ID=node-$n RINGWAY_NODE__LISTEN=127.0.0.1:700$n RINGWAY_NODE__ADMIN=127.0.0.1:908$n \
        "$RINGWAY" node --config ringway.toml &
done
for n in 0 1; do
    RINGWAY_GATEWAY__LISTEN=127.0.0.1:808$n RINGWAY_GATEWAY__ADMIN=127.0.0.1:909$n \
        "$RINGWAY" gateway --config ringway.toml &
done
wait
