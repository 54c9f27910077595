#!/bin/sh
# An image equivalent to node:20-bookworm-slim, made of Debian's packages and this machine's node, for places without a registry.
# usage: docker/base-image.sh [TAG]
set -eu
tag=${1:-node:20-bookworm-slim}
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
debootstrap --variant=minbase --include=ca-certificates,libatomic1,libstdc++6 bookworm "$root/fs" "${mirror:-http://deb.debian.org/debian}" >"$root/log" 2>&1 || { tail -n 20 "$root/log" >&2; exit 1; }
rm -f "$root/fs/etc/apt/sources.list"
# The image uses the package sources and proxies that work on this machine.
for file in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d; do
  [ -e "$file" ] && cp -rL "$file" "$root/fs/etc/apt/" 2>/dev/null || true
done
node_bin=$(readlink -f "$(command -v node)")
mkdir -p "$root/fs/usr/local/bin" "$root/fs/usr/local/lib/node_modules"
cp "$node_bin" "$root/fs/usr/local/bin/node"
npm_dir=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
cp -r "$npm_dir" "$root/fs/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/fs/usr/local/bin/npm"
rm -rf "$root/fs/var/cache/apt/archives"/*.deb "$root/fs/var/lib/apt/lists"/*
# Behind a proxy that signs with its own authority, npm in the image must trust it as npm on this machine does.
environment=""
if [ -n "${NODE_EXTRA_CA_CERTS:-}" ] && [ -f "$NODE_EXTRA_CA_CERTS" ]; then
  cp -L "$NODE_EXTRA_CA_CERTS" "$root/fs/usr/local/share/ca-certificates/local.crt"
  environment="NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/local.crt"
fi
tar -C "$root/fs" -c . | docker import --change 'CMD ["node"]' ${environment:+--change "ENV $environment"} - "$tag" >/dev/null
echo "made $tag"
