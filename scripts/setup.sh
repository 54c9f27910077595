#!/bin/sh
# Everything that a fresh Debian machine with Node 20 lacks: Debian packages, npm packages, the build.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ]; then
  say "Node.js 20 or newer is needed (found: $(node --version 2>/dev/null || echo none)); see https://nodejs.org"
  exit 1
fi

# libfuse2 is what fuse-native's prebuilt binary loads; mount(8) and fusermount come with mount and fuse.
wanted=""
if [ "$(uname -s)" = Linux ]; then
  ldconfig -p 2>/dev/null | grep -q 'libfuse\.so\.2' || [ -e /usr/lib/x86_64-linux-gnu/libfuse.so.2 ] || [ -e /lib/x86_64-linux-gnu/libfuse.so.2 ] || wanted="$wanted libfuse2"
  command -v fusermount >/dev/null 2>&1 || command -v fusermount3 >/dev/null 2>&1 || wanted="$wanted fuse3"
  command -v mount >/dev/null 2>&1 || wanted="$wanted mount"
  wanted="$wanted ${RINGFS_SETUP_EXTRA:-}"
fi
wanted=$(echo $wanted)
if [ -n "$wanted" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing Debian packages: $wanted"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $wanted; } >/tmp/ringfs-apt.$$ 2>&1 || {
      cat /tmp/ringfs-apt.$$ >&2
      say "apt-get failed; install these packages and try again: $wanted"
      exit 1
    }
    rm -f /tmp/ringfs-apt.$$
  else
    say "these packages are missing; install them as root: apt-get install $wanted"
    exit 1
  fi
fi

lock=$(cksum <package-lock.json)
if [ ! -d node_modules ] || [ "$(cat node_modules/.ringfs-lock 2>/dev/null)" != "$lock" ]; then
  say 'installing npm packages'
  # Not `npm ci`: it refuses a lock file without the optional packages of platforms that a registry mirror does not carry.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  printf '%s\n' "$lock" >node_modules/.ringfs-lock
fi

say 'building'
node_modules/.bin/tsc -b
