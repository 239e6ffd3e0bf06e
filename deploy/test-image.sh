#!/usr/bin/env bash
# Tests the image and the compose file as users run them, around a program that is built already:
#
#   deploy/test-image.sh target/release/swarmmq
#
# Where the base image cannot be pulled, make-base-image.sh makes it.
set -euo pipefail

binary=${1:?usage: deploy/test-image.sh <swarmmq program>}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tag=swarmmq-test:$$
project=swarmmq-test-$$
scratch=$(mktemp -d)

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$project" -f "$here/compose.yaml")
export SWARMMQ_IMAGE=$tag
# Ports of its own, so that a node on this machine is neither disturbed nor taken for the one tested.
export SWARMMQ_NATIVE_PORT=19001 SWARMMQ_HTTP_PORT=18080 SWARMMQ_DURABLE_PORT=15551 SWARMMQ_INGEST_PORT=15552

fail() {
  echo "FAILED: $*" >&2
  "${compose[@]}" logs --no-color --tail 30 >&2 || true
  exit 1
}

clean() {
  "${compose[@]}" down --volumes >/dev/null 2>&1 || true
  docker rmi --force "$tag" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean EXIT

"$here/make-base-image.sh"

mkdir "$scratch/context"
install -m 0755 "$binary" "$scratch/context/swarmmq"
docker build -q -f "$here/Dockerfile" -t "$tag" --target prebuilt "$scratch/context" >/dev/null
"${compose[@]}" up --detach --no-build

container=$("${compose[@]}" ps -q swarmmq)
state() { docker inspect --format "$1" "$container"; }

deadline=$((SECONDS + 60))
until [[ $(state '{{.State.Health.Status}}') == healthy ]]; do
  [[ $(state '{{.State.Running}}') == true ]] || fail "the node ended with $(state '{{.State.ExitCode}}')"
  ((SECONDS < deadline)) || fail "not healthy after 60 s"
  sleep 1
done
[[ $(docker exec "$container" id -u) != 0 ]] || fail "the node runs as root"

client=("$binary" --quiet)
node=(--node "localhost:$SWARMMQ_NATIVE_PORT" --destination greetings)
"${client[@]}" produce "${node[@]}" --message "from the host" || fail "cannot put through the published port"

# What was acknowledged is there after the container was made anew on the same volume.
"${compose[@]}" up --detach --no-build --force-recreate
container=$("${compose[@]}" ps -q swarmmq)
deadline=$((SECONDS + 60))
until "$binary" health --http "localhost:$SWARMMQ_HTTP_PORT" >/dev/null 2>&1; do
  ((SECONDS < deadline)) || fail "not healthy 60 s after it was made anew"
  sleep 1
done
got=$("${client[@]}" consume "${node[@]}" --count 1)
[[ $got == *"from the host"* ]] || fail "consumed '$got' and not what was put"

"${compose[@]}" stop
[[ $(state '{{.State.ExitCode}}') == 0 ]] || fail "the node ended with $(state '{{.State.ExitCode}}') at SIGTERM"
echo "ok: healthy, not root, keeps what it acknowledged, ends well at SIGTERM"
