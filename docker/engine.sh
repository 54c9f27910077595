#!/bin/sh
# Makes sure that a Docker engine answers. As root on Debian it installs and starts one of its own when there is none.
# Prints nothing when all is well. `docker/engine.sh stop` ends an engine that this script started.
set -eu
state=/var/tmp/ringfs-docker
if [ "${1:-}" = stop ]; then
  [ -f "$state/pid" ] && kill "$(cat "$state/pid")" 2>/dev/null || true
  rm -f "$state/pid"
  exit 0
fi
has_compose() { docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; }
if docker info >/dev/null 2>&1 && has_compose; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Docker engine answers: install and start Docker with docker compose or docker-compose, or run this as root on Debian" >&2
  exit 1
fi
if ! command -v dockerd >/dev/null || ! has_compose || ! command -v debootstrap >/dev/null; then
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io docker-compose debootstrap iptables; } >/dev/null
fi
docker info >/dev/null 2>&1 && exit 0
mkdir -p "$state/root"
dockerd --data-root "$state/root" >"$state/log" 2>&1 &
echo $! >"$state/pid"
tries=0
until docker info >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -gt 300 ]; then
    tail -n 20 "$state/log" >&2
    echo "dockerd did not start; its log is $state/log" >&2
    exit 1
  fi
  sleep 0.2
done
