#!/usr/bin/env bash
# Makes sure that there is the base image that the Dockerfiles name: pulls it, or makes it under that very tag, which
# takes root and debootstrap.
set -euo pipefail

base=debian:bookworm-slim

if docker image inspect "$base" >/dev/null 2>&1 || docker pull --quiet "$base" 2>/dev/null; then exit 0; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo "the base image cannot be pulled; making it"
if ! debootstrap --variant=minbase bookworm "$scratch/root" >"$scratch/log"; then
  echo "FAILED: debootstrap: $(tail -1 "$scratch/log")" >&2
  exit 1
fi
tar -C "$scratch/root" -c . | docker import - "$base" >/dev/null
