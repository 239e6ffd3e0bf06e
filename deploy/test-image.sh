#!/usr/bin/env bash
# Tests the image and the compose file as users run them, around a program that is built already:
#
#   deploy/test-image.sh target/release/swarmmq
#
# Where the base image cannot be pulled, it is made under the very tag that the Dockerfile names;
# that takes root and debootstrap.
set -euo pipefail

binary=${1:?usage: deploy/test-image.sh <swarmmq program>}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=debian:bookworm-slim
tag=swarmmq-test:$$
project=swarmmq-test-$$
scratch=$(mktemp -d)

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "$project" -f "$here/compose.yaml")
export SWARMMQ_IMAGE=$tag

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

if ! docker image inspect "$base" >/dev/null 2>&1 && ! docker pull --quiet "$base" 2>/dev/null; then
  echo "the base image cannot be pulled; making it"
  debootstrap --variant=minbase bookworm "$scratch/root" >"$scratch/log" || fail "debootstrap: $(tail -1 "$scratch/log")"
  tar -C "$scratch/root" -c . | docker import - "$base" >/dev/null
fi

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

"${compose[@]}" stop
[[ $(state '{{.State.ExitCode}}') == 0 ]] || fail "the node ended with $(state '{{.State.ExitCode}}') at SIGTERM"
echo "ok: healthy, not root, ends well at SIGTERM"
