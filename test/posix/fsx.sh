#!/bin/sh
# The long form of the exerciser, on a cluster of its own with two mounts: SECONDS (900) on one file of one mount, then a
# third of that each with three processes, with two mounts that hand the file over, and over block and chunk boundaries.
#   test/posix/fsx.sh [SECONDS [SEED]]      DRIVER=fuse-native and BASE_PORT=N choose the front end and the ports
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-900}
seed=${2:-$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')}
driver=${DRIVER:-devfuse}
port=${BASE_PORT:-17610}
without=""
[ "$driver" = fuse-native ] && without=mapped-append
scratch=$(mktemp -d)
mkdir "$scratch/a" "$scratch/b"
cleanup() {
  ./ringfs umount "$scratch/b" >/dev/null 2>&1 || umount -l "$scratch/b" 2>/dev/null || true
  ./ringfs down --data "$scratch/data" >/dev/null 2>&1 || true
  rm -rf --one-file-system "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
./ringfs up --data "$scratch/data" --mount "$scratch/a" --base-port "$port" --detach --driver "$driver"
./ringfs mount -o "driver=$driver,log=$scratch/mount.log" "127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))" "$scratch/b"

status=0
exercise() {
  name=$1
  shift
  mkdir "$scratch/a/$name"
  echo "== $name"
  node dist/test/posix/fsx/main.js --seed "$seed" --without "$without" "$@" || status=1
}
third=$((seconds / 3))
exercise one "$scratch/a/one" --seconds "$seconds"
exercise processes "$scratch/a/processes" --processes 3 --seconds "$third"
exercise mounts "$scratch/a/mounts" "$scratch/b/mounts" --seconds "$third"
# Across the boundary of two chunks of 64 MiB and several blocks of 4 MiB.
exercise large "$scratch/a/large" --size $((12 << 20)) --base $((60 << 20)) --seconds "$third"
exit $status
