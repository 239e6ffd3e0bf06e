#!/usr/bin/env bash
# Tests the images and the compose file as users run them, around programs that are built already:
#
#   examples/security-events/test-compose.sh target/release/security-events
#
# Where the base image cannot be pulled, it is made under the very tag that the Dockerfile names; that takes root and
# debootstrap. etcd is ETCD_BIN, or the one on PATH.
set -euo pipefail

binary=${1:?usage: test-compose.sh <security-events program>}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
etcd=${ETCD_BIN:-$(command -v etcd || true)}
[[ -n $etcd ]] || { echo "no etcd: install etcd-server, or set ETCD_BIN" >&2; exit 1; }
base=debian:bookworm-slim
project=security-events-test-$$
export SECURITY_EVENTS_IMAGE=security-events-test:$$ ETCD_IMAGE=security-events-etcd-test:$$
scratch=$(mktemp -d)

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$project" -f "$here/compose.yaml")

fail() {
  echo "FAILED: $*" >&2
  "${compose[@]}" logs --no-color --tail 30 >&2 || true
  exit 1
}

clean() {
  "${compose[@]}" down --volumes >/dev/null 2>&1 || true
  docker rmi --force "$SECURITY_EVENTS_IMAGE" "$ETCD_IMAGE" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean EXIT

if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull --quiet "$base" 2>/dev/null; then
  echo "the base image cannot be pulled; making it"
  debootstrap --variant=minbase bookworm "$scratch/root" >"$scratch/log" || fail "debootstrap: $(tail -1 "$scratch/log")"
  tar -C "$scratch/root" -c . | docker import - "$base" >/dev/null
fi

mkdir "$scratch/context"
install -m 0755 "$binary" "$scratch/context/security-events"
install -m 0755 "$etcd" "$scratch/context/etcd"
docker build -q -f "$here/Dockerfile" -t "$ETCD_IMAGE" --target etcd-prebuilt "$scratch/context" >/dev/null
docker build -q -f "$here/Dockerfile" -t "$SECURITY_EVENTS_IMAGE" --target prebuilt "$scratch/context" >/dev/null
"${compose[@]}" up --detach --no-build

status() { "${compose[@]}" exec -T producer-1 security-events status --json 2>/dev/null || true; }
# until_is <what> <text>: waits until the status holds a text.
until_is() {
  local deadline=$((SECONDS + 120))
  until [[ $(status) == *"$2"* ]]; do
    ((SECONDS < deadline)) || fail "it never came to: $1; $(status)"
    sleep 1
  done
  echo "$1"
}

# receives <consumer>: waits until it tells that it has processed events.
receives() {
  local deadline=$((SECONDS + 120))
  # Without -q, as what writes into a pipe that is closed has failed.
  until "${compose[@]}" logs --no-color "$1" | grep -E 'interval: [1-9][0-9]* processed' >/dev/null; do
    ((SECONDS < deadline)) || fail "$1 receives nothing"
    sleep 1
  done
  echo "$1 processes events"
}

until_is "4 instances are registered" '"registered":4'
receives consumer-1
receives consumer-2
"${compose[@]}" logs --no-color consumer-1 | grep "Deserialized NetworkSecurityEvent" >/dev/null || fail "consumer-1 shows no event"
"${compose[@]}" stop consumer-2
until_is "one that stops takes itself out" '"registered":3'
"${compose[@]}" start consumer-2
until_is "and is registered again" '"registered":4'
"${compose[@]}" restart etcd
until_is "all are there after etcd has started again" '"healthy":4'
echo "ok: found, spread, left and come back"
