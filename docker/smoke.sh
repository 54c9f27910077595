#!/bin/sh
# The docker rig in its short form: build the image, start three servers and a mount, write, kill the leader, read.
set -eu
cd "$(dirname "$0")/.."
sh docker/image.sh || { sh docker/engine.sh stop; exit 1; }
project=ringfs-smoke
compose="docker-compose -p $project -f docker/compose.replicated.yaml"
cleanup() {
  status=$?
  if [ "$status" -ne 0 ]; then $compose logs --tail=40 2>&1 || true; fi
  $compose down -v -t 5 >/dev/null 2>&1 || true
  sh docker/engine.sh stop
  exit $status
}
trap cleanup EXIT
$compose up -d --no-build >/dev/null 2>&1
on_mount() { $compose exec -T mount sh -ec "$1"; }
status() { $compose exec -T "$1" ringfs status 127.0.0.1:7400 --json; }
wait_for() {
  tries=0
  until eval "$2" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ]; then echo "waited in vain until $1"; return 1; fi
    sleep 0.5
  done
}
leader() { status "$1" | node -e 'const s = JSON.parse(require("fs").readFileSync(0, "utf8")); if (!s.leader) process.exit(1); console.log(s.leader)'; }

wait_for 'the directory is mounted' 'on_mount "mountpoint -q /mnt/ringfs"'
on_mount 'cd /mnt/ringfs && cp -a /opt/ringfs/dist copy && diff -r /opt/ringfs/dist copy && dd if=/dev/urandom of=big bs=1M count=32 conv=fsync 2>/dev/null && sha256sum big > big.sha'
first=$(leader s1)
echo "leader $first; killing it"
$compose kill -s KILL "$first" >/dev/null 2>&1
on_mount 'cd /mnt/ringfs && sha256sum -c --quiet big.sha && echo after > after && diff -r /opt/ringfs/dist copy'
for other in s1 s2 s3; do [ "$other" = "$first" ] || survivor=$other; done
wait_for 'there is another leader' "[ \"\$(leader $survivor)\" != '$first' ]"
echo "leader $(leader "$survivor"); starting $first again"
$compose start "$first" >/dev/null 2>&1
wait_for "$first is back" "status $survivor | grep -q '\"health\": \"ok\",' && ! status $survivor | grep -q '\"health\": \"down\"'"
on_mount 'cd /mnt/ringfs && [ "$(cat after)" = after ] && rm -r copy big big.sha after && [ -z "$(ls)" ]'
echo 'the docker rig holds'
