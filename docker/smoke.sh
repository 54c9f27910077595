#!/bin/sh
# The image and the compose files, tried out. Without arguments, in a minute: three servers and a mount; the leader is killed.
# usage: [RINGFS_COMPOSE='docker compose'] docker/smoke.sh [--all | basic | replicated | full | host]...
set -eu
cd "$(dirname "$0")/.."
forms=""
for form in "$@"; do
  case $form in
    --all) forms="basic replicated full host" ;;
    basic | replicated | full | host) forms="$forms $form" ;;
    *) echo "usage: docker/smoke.sh [--all | basic | replicated | full | host]..." >&2; exit 2 ;;
  esac
done
sh docker/image.sh || { sh docker/engine.sh stop; exit 1; }
image=${RINGFS_IMAGE:-ringfs:local}
if command -v docker-compose >/dev/null; then any=docker-compose; else any='docker compose'; fi
with=${RINGFS_COMPOSE:-$any}
compose=""
host=""
finish() {
  [ -n "$compose" ] || return 0
  $compose down -v -t 5 >/dev/null 2>&1 || true
  compose=""
}
cleanup() {
  status=$?
  if [ "$status" -ne 0 ] && [ -n "$compose" ]; then $compose ps 2>&1 || true; $compose logs --tail=40 2>&1 || true; fi
  finish
  if [ -n "$host" ]; then umount -l "$host/ringfs" 2>/dev/null || true; umount -l "$host" 2>/dev/null || true; rm -rf "$host"; fi
  sh docker/engine.sh stop
  exit $status
}
trap cleanup EXIT

# begin FILES...: the containers of these files run from now on.
begin() {
  compose="$with -p ringfs-smoke"
  for file in "$@"; do compose="$compose -f docker/compose.$file.yaml"; done
  $compose up -d --no-build >/dev/null 2>&1
  wait_for 'the directory is mounted' 'on_mount "mountpoint -q /mnt/ringfs"'
}
# docker itself, where it can be: docker-compose 1.29 takes half a second of CPU to start.
id_of() {
  docker ps -q --no-trunc --filter label=com.docker.compose.project=ringfs-smoke --filter "label=com.docker.compose.service=$1"
}
on() { docker exec "$(id_of "$1")" sh -ec "$2"; }
on_mount() { on mount "$1"; }
status() { on "$1" "ringfs status 127.0.0.1:7400 --json"; }
wait_for() {
  tries=0
  until eval "$2" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ]; then echo "waited in vain until $1"; return 1; fi
    sleep 0.5
  done
}
leader() { status "$1" | node -e 'const s = JSON.parse(require("fs").readFileSync(0, "utf8")); if (!s.leader) process.exit(1); console.log(s.leader)'; }
# all_well SERVER N: it and all that it knows of are healthy, N of them.
all_well() { status "$1" | node -e 'const s = JSON.parse(require("fs").readFileSync(0, "utf8")); process.exitCode = s.health === "ok" && s.servers.length === Number(process.argv[1]) ? 0 : 1' "$2"; }
health() { docker inspect -f '{{.State.Health.Status}}' "$(id_of "$1")"; }

# hardened SERVER: it is nobody, and cannot change what it runs.
hardened() {
  [ "$(on "$1" 'id -u')" = 7400 ] || { echo "$1 runs as $(on "$1" 'id -u')"; return 1; }
  for service in "$1" mount; do
    on "$service" '! touch /opt/ringfs/x 2>/dev/null && ! touch /etc/x 2>/dev/null' || { echo "$service can write to its root"; return 1; }
    wait_for "$service is healthy" "[ \"\$(health $service)\" = healthy ]"
  done
}

# stopped SERVICE: `stop` ends it by itself, unmounted if it was mounted, before Docker loses patience.
stopped() {
  id=$(id_of "$1")
  $compose stop "$1" >/dev/null 2>&1
  code=$(docker inspect -f '{{.State.ExitCode}}' "$id")
  [ "$code" = 0 ] || { echo "$1 ended with status $code"; return 1; }
}

smoke_replicated() {
  begin replicated
  version=$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' "$image")
  [ "$(on s1 'ringfs --version')" = "$version" ] || { echo "the image says it is version $version"; return 1; }
  on_mount 'cd /mnt/ringfs && cp -a /opt/ringfs/dist copy && diff -r /opt/ringfs/dist copy && dd if=/dev/urandom of=big bs=1M count=32 conv=fsync 2>/dev/null && sha256sum big > big.sha'
  hardened s1
  first=$(leader s1)
  echo "leader $first; killing it"
  $compose kill -s KILL "$first" >/dev/null 2>&1
  on_mount 'cd /mnt/ringfs && sha256sum -c --quiet big.sha && echo after > after && diff -r /opt/ringfs/dist copy'
  for other in s1 s2 s3; do [ "$other" = "$first" ] || survivor=$other; done
  wait_for 'there is another leader' "[ \"\$(leader $survivor)\" != '$first' ]"
  echo "leader $(leader "$survivor"); starting $first again"
  $compose start "$first" >/dev/null 2>&1
  wait_for "$first is back" "all_well $survivor 3"
  on_mount 'cd /mnt/ringfs && [ "$(cat after)" = after ] && rm -r copy big big.sha after && [ -z "$(ls)" ]'
  stopped mount
  stopped s1
  finish
}

smoke_basic() {
  begin basic
  hardened s1
  on_mount 'cd /mnt/ringfs && cp -a /opt/ringfs/dist copy'
  echo 'stopping all, in order, and starting it again'
  stopped mount
  stopped s1
  $compose up -d --no-build >/dev/null 2>&1
  wait_for 'the directory is mounted again' 'on_mount "mountpoint -q /mnt/ringfs"'
  on_mount 'cd /mnt/ringfs && diff -r /opt/ringfs/dist copy && rm -r copy'
  echo 'the process of the mount dies; Docker starts it again'
  # Behind init, which is process 1.
  on_mount 'for p in /proc/[0-9]*; do case $(tr "\0" " " <"$p/cmdline") in node*main.js\ mount*) kill -9 "${p#/proc/}" ;; esac; done' || true
  wait_for 'the directory is mounted once more' 'on_mount "mountpoint -q /mnt/ringfs && echo again > /mnt/ringfs/again"'
  finish
}

# web NAME: PUT, GET and DELETE through the gateway, with the node of its container; the mount reads in between.
web() {
  put='const body = new Uint8Array(8 << 20).map((_, i) => (i * 31) >> 3);
    const { status } = await fetch("http://127.0.0.1:8080/v1/files/web/'$1'?parents", { method: "PUT", body });
    console.log(status, require("crypto").createHash("sha256").update(body).digest("hex"));'
  rest='const url = "http://127.0.0.1:8080/v1/files/web/'$1'";
    const got = Buffer.from(await (await fetch(url)).arrayBuffer());
    const { status } = await fetch(url, { method: "DELETE" });
    console.log(require("crypto").createHash("sha256").update(got).digest("hex"), status, (await fetch(url)).status);'
  sent=$(on gateway "node -e '(async () => { $put })()'")
  hash=$(on_mount "sha256sum /mnt/ringfs/web/$1 | cut -d ' ' -f 1")
  [ "$sent" = "201 $hash" ] || { echo "the gateway took '$sent', the mount has '$hash'"; return 1; }
  got=$(on gateway "node -e '(async () => { $rest })()'")
  [ "$got" = "$hash 204 404" ] || { echo "the gateway gave '$got'"; return 1; }
}

smoke_full() {
  begin full
  wait_for 'the second mount is there' 'on mount2 "mountpoint -q /mnt/ringfs"'
  on_mount 'cd /mnt/ringfs && dd if=/dev/urandom of=big bs=1M count=64 conv=fsync 2>/dev/null && sha256sum big > big.sha'
  on mount2 'cd /mnt/ringfs && sha256sum -c --quiet big.sha'
  hardened b1
  hardened gateway
  web before
  first=$(leader m1)
  echo "leader $first; killing it and the block node b1"
  $compose kill -s KILL "$first" b1 >/dev/null 2>&1
  on mount2 'cd /mnt/ringfs && sha256sum -c --quiet big.sha && cp big other && sync other && echo after > after'
  on_mount 'cd /mnt/ringfs && cmp big other && [ "$(cat after)" = after ]'
  web after
  $compose start "$first" b1 >/dev/null 2>&1
  for other in m1 m2 m3; do [ "$other" = "$first" ] || survivor=$other; done
  wait_for 'all nodes are well' "all_well $survivor 8"
  for service in gateway mount mount2 b5 m3; do stopped $service; done
  finish
}

# The mounted directory on this machine: visible, there again after the container was killed, gone after a stop.
smoke_host() {
  host=$(mktemp -d)
  mount --bind "$host" "$host" && mount --make-rshared "$host" || { echo 'this needs root'; return 1; }
  mkdir "$host/ringfs"
  RINGFS_HOST_DIR=$host
  export RINGFS_HOST_DIR
  begin basic host
  on_mount 'echo inside > /mnt/ringfs/file'
  [ "$(cat "$host/ringfs/file")" = inside ]
  echo outside >"$host/ringfs/file"
  [ "$(on_mount 'cat /mnt/ringfs/file')" = outside ]
  echo 'this machine sees the mount; killing its container'
  $compose kill -s KILL mount >/dev/null 2>&1
  ! cat "$host/ringfs/file" 2>/dev/null || { echo 'the killed mount still answers'; return 1; }
  $compose start mount >/dev/null 2>&1
  wait_for 'this machine sees it again' "[ \"\$(cat $host/ringfs/file)\" = outside ]"
  stopped mount
  ! mountpoint -q "$host/ringfs" || { echo 'it is still mounted here'; return 1; }
  finish
  umount "$host"
  rmdir "$host/ringfs" "$host"
  host=""
}

for form in ${forms:-replicated}; do
  started=$(date +%s)
  "smoke_$form"
  echo "$form holds ($(($(date +%s) - started)) s)"
done
echo "the docker rig holds ($with)"
