#!/bin/sh
# Makes the images of the scenarios: ringfs:local from this clone, and ringfs-rig:local with the workload's programs on top.
set -eu
cd "$(dirname "$0")/.."
sh docker/image.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
docker build -q -t ringfs-rig:local -f docker/Dockerfile.rig . >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
