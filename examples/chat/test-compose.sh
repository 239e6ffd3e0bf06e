#!/usr/bin/env bash
# Tests the compose file as users run it, around programs that are built already:
#
#   examples/chat/test-compose.sh target/release/swarmmq target/release/swarmmq-chat
set -euo pipefail

node=${1:?usage: examples/chat/test-compose.sh <swarmmq program> <swarmmq-chat program>}
chat=${2:?usage: examples/chat/test-compose.sh <swarmmq program> <swarmmq-chat program>}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tag=swarmmq-chat-test:$$
scratch=$(mktemp -d)

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose+=(-p "swarmmq-chat-test-$$" -f "$here/compose.yaml")
export SWARMMQ_CHAT_IMAGE=$tag
# Ports of its own, so that a chat on this machine is neither disturbed nor taken for the one tested.
export CHAT_CLIENTS_PORT=15555 CHAT_SUBSCRIBERS_PORT=15558

fail() {
  echo "FAILED: $*" >&2
  "${compose[@]}" logs --no-color --tail 20 >&2 || true
  exit 1
}

clean() {
  "${compose[@]}" down --volumes >/dev/null 2>&1 || true
  docker rmi --force "$tag" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean EXIT

# until_so <what> <command…>: looks again until the command succeeds.
until_so() {
  local what=$1 deadline=$((SECONDS + 90))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "it never came to: $what"
    sleep 1
  done
}

# A file: to match in a pipe would end the program that writes it.
says() {
  "${compose[@]}" logs --no-color "$1" >"$scratch/log" 2>&1
  grep -qE -- "$2" "$scratch/log"
}

history() {
  "${compose[@]}" exec -T "$1" cat /data/publications.jsonl | sort | sha256sum
}

same_histories() {
  local first
  first=$(history server-001)
  [[ $first == "$(history server-002)" && $first == "$(history server-003)" ]]
}

"$here/../../deploy/make-base-image.sh"
mkdir "$scratch/context"
install -m 0755 "$node" "$scratch/context/swarmmq"
install -m 0755 "$chat" "$scratch/context/swarmmq-chat"
docker build -q -f "$here/Dockerfile" -t "$tag" --target prebuilt "$scratch/context" >/dev/null
"${compose[@]}" up --detach --no-build

until_so "the reference" says ref '\[ref\] servidor de referência iniciado em tcp://\*:6000'
for server in server-001 server-002 server-003; do
  until_so "$server has a rank" says "$server" "\\[$server\\] rank obtido: [123]"
  until_so "$server knows who coordinates" says "$server" "\\[$server\\] (coordenador inicial|novo coordenador eleito): server-00"
  until_so "$server asks for the time" says "$server" "\\[$server\\] sincronizou clock com ref \\(time=.*, clock=[0-9]+\\)"
  until_so "$server replicates" says "$server" "\\[$server\\] replicou registro de server-00[123] \\(publish\\)"
done
until_so "a bot" says bot-1 '\[BOT\] user[0-9]{4} iniciado e enviando mensagens automáticas\.\.\.'
until_so "a bot hears" says bot-2 '\[user[0-9]{4}\] <- \(#(general|random|dev)\) auto-msg 3 de user[0-9]{4}'

"${compose[@]}" kill -s SIGKILL server-002
until_so "the dead one leaves the list" says ref 'server-002 removido: sem heartbeat'
"${compose[@]}" up --detach --no-build server-002
until_so "it catches up" says server-002 'recuperou [0-9]+ registros de server-00[13]'

greeted=$(printf 'bom dia do host\n/sair\n' | timeout 60 "$chat" client --user ana \
  --broker "tcp://127.0.0.1:$CHAT_CLIENTS_PORT" --proxy-out "tcp://127.0.0.1:$CHAT_SUBSCRIBERS_PORT")
[[ $greeted == *"[ana] canal #"* ]] || fail "a person cannot join from the host: $greeted"
until_so "all hear the person" says bot-1 'ana: bom dia do host'

"${compose[@]}" stop bot-1 bot-2
until_so "all servers have the same" same_histories
lines=$("${compose[@]}" exec -T server-001 cat /data/publications.jsonl | wc -l)
((lines > 20)) || fail "there are $lines publications"
"${compose[@]}" stop
for service in node ref server-001 server-002 server-003; do
  status=$(docker inspect --format '{{.State.ExitCode}}' "$("${compose[@]}" ps -q "$service")")
  [[ $status == 0 ]] || fail "$service ended with $status at SIGTERM"
done
echo "ok: $lines publications, the same on three servers after a kill; everything ends well at SIGTERM"
