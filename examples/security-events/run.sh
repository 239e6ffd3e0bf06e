#!/usr/bin/env bash
# The same as compose.yaml, as processes of this machine: etcd, two producers and two consumers.
#
#   examples/security-events/run.sh            # until Ctrl-C
#   examples/security-events/run.sh 10         # for ten seconds
#
# etcd is ETCD_BIN, or the `etcd` on PATH (Debian: etcd-server); the example SECURITY_EVENTS, or what cargo builds.
set -euo pipefail

seconds=${1:-}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
etcd=${ETCD_BIN:-$(command -v etcd || true)}
[[ -n $etcd ]] || { echo "no etcd: install etcd-server, or set ETCD_BIN" >&2; exit 1; }
if [[ -z ${SECURITY_EVENTS:-} ]]; then
  cargo build --quiet --manifest-path "$root/Cargo.toml" --package security-events
  SECURITY_EVENTS=${CARGO_TARGET_DIR:-$root/target}/debug/security-events
fi
[[ $SECURITY_EVENTS == */* ]] || SECURITY_EVENTS=$(command -v "$SECURITY_EVENTS")

port=${ETCD_PORT:-12379} peer=${ETCD_PEER_PORT:-12380}
base=${EVENTS_PORT:-15555}
scratch=$(mktemp -d)
pids=()

clean() {
  # The instances first, so that they take themselves out.
  if ((${#pids[@]} > 1)); then
    kill "${pids[@]:1}" 2>/dev/null || true
    wait "${pids[@]:1}" 2>/dev/null || true
  fi
  if ((${#pids[@]} > 0)); then kill "${pids[0]}" 2>/dev/null || true; wait "${pids[0]}" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 0' INT TERM

"$etcd" --name one --data-dir "$scratch/etcd" \
  --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
  --initial-cluster "one=http://127.0.0.1:$peer" >"$scratch/etcd.log" 2>&1 &
pids+=($!)
export DISCOVERY=etcd ETCD_ENDPOINTS="http://127.0.0.1:$port"
for nth in 1 2; do
  "$SECURITY_EVENTS" producer --id "service1-instance-00$nth" --bind "tcp://127.0.0.1:$((base + 2 * nth))" &
  pids+=($!)
  "$SECURITY_EVENTS" consumer --id "service2-instance-00$nth" --bind "tcp://127.0.0.1:$((base + 2 * nth + 1))" &
  pids+=($!)
done

if [[ -n $seconds ]]; then sleep "$seconds"; else wait "${pids[@]:1}"; fi
"$SECURITY_EVENTS" status
