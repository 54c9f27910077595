#!/bin/sh
# npm test: everything that must hold before a change lands. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
# Programs that the tests use on the mount.
extra=""
for pair in rsync:rsync sqlite3:sqlite3 git:git gcc:gcc make:make python3:python3 vim:vim-tiny fusermount3:fuse3 mkfs.ext4:e2fsprogs setfacl:acl setcap:libcap2-bin ip:iproute2 iptables:iptables; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || extra="$extra ${pair##*:}"
done
RINGFS_SETUP_EXTRA="$extra" sh scripts/setup.sh || { echo '0 passed, 1 failed'; exit 1; }

RINGFS_TALLY=$(mktemp)
export RINGFS_TALLY
log=$(mktemp)
started=$(date +%s)

stage() { printf '== %s (%ss)\n' "$1" "$(($(date +%s) - started))"; }

# A check counts as one test.
check() {
  name=$1
  shift
  stage "$name"
  if "$@" >"$log" 2>&1; then
    echo '1 0' >>"$RINGFS_TALLY"
  else
    echo '0 1' >>"$RINGFS_TALLY"
    cat "$log"
    echo "FAILED: $name"
  fi
}

tests() {
  stage "tests: $*"
  sh scripts/run-tests.sh "$@" || echo "FAILED: tests: $*"
}

check 'format and lint' node_modules/.bin/biome ci --error-on-warnings .
check 'lint with types' node_modules/.bin/eslint .
check 'import boundaries' node_modules/.bin/depcruise --config .dependency-cruiser.cjs src mount test docker
check 'unused code' node_modules/.bin/knip
check 'generated code is up to date' sh scripts/check-generated.sh
check 'lock file names no registry' sh -c '! grep -q "\"resolved\"" package-lock.json'
tests unit
tests contract
tests model
tests sim
tests integration
tests posix
check 'rig: the leader is killed' node dist/docker/rig/main.js kill-leader
check 'rig: a mount is cut off from the leader' node dist/docker/rig/main.js partition-mount
check 'rig in containers: the leader, then a mount is killed' node dist/docker/rig/main.js --docker kill-leader kill-mount
check 'docker rig' sh docker/smoke.sh

awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }' "$RINGFS_TALLY"
status=$?
rm -f "$RINGFS_TALLY" "$log"
exit $status
