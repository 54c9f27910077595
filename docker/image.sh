#!/bin/sh
# Makes the image ringfs:local, or $RINGFS_IMAGE, from this clone, with an engine and a base image of its own where there are none.
set -eu
cd "$(dirname "$0")/.."
sh docker/engine.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! docker image inspect node:20-bookworm-slim >/dev/null 2>&1; then
  docker pull -q node:20-bookworm-slim >/dev/null 2>&1 || sh docker/base-image.sh node:20-bookworm-slim
fi
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
docker build -q -t "${RINGFS_IMAGE:-ringfs:local}" -f docker/Dockerfile --build-arg "REVISION=$revision" . >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
