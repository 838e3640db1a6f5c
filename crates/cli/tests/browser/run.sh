#!/usr/bin/env bash
# Starts `ringway dev` on a free port and drives its page in headless Chromium; the last line says how it went.
# RINGWAY: the binary (default: target/debug/ringway). CHROMIUM: the browser (default: chromium on the PATH).
# NATS_SERVER: for the cluster of the last test (default: nats-server on the PATH).
# SCREENSHOTS: where pictures go (default: target/screenshots). What is installed goes to target/browser.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
work=$root/target/browser
ringway=${RINGWAY:-$root/target/debug/ringway}

mkdir -p "$work"
cp "$here"/*.mjs "$here/package.json" "$work/"
page=$work/page
mkdir -p "$page"
cp "$root/docs/examples/page/index.html" "$root/docs/examples/ringway.js" "$page/"
npm install --prefix "$work" --no-package-lock --no-audit --no-fund --silent

: >"$work/dev.log" # now, not when the background comes to it: the log of the last run names a port, too
"$ringway" dev --listen 127.0.0.1:0 >>"$work/dev.log" 2>&1 &
dev=$!
trap 'kill "$dev" 2>/dev/null || true; wait "$dev" 2>/dev/null || true' EXIT
base=
for _ in $(seq 300); do
    base=$(sed -n 's|^ *page *\(http://[^ ]*[^/ ]\)/* *$|\1|p' "$work/dev.log")
    [ -n "$base" ] && break
    kill -0 "$dev" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$base" ]; then
    cat "$work/dev.log" >&2
    echo "ringway dev did not start" >&2
    exit 1
fi
status=0
BASE_URL=$base RINGWAY=$ringway PAGE=$page SCREENSHOTS=${SCREENSHOTS:-$root/target/screenshots} node "$work/run.mjs" || status=$?
[ "$status" = 0 ] || cat "$work/dev.log" >&2
exit "$status"
