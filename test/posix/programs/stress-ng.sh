#!/bin/sh
# stress-ng's file system stressors with --verify on a RingFS, each first on the local disk, which is the oracle: a stressor that
# fails there too (of a container's limits, say) is listed and not held against RingFS. Then those that a killed server
# would hurt most, over kill -9 of the leader.  Usage: stress-ng.sh [STRESSOR...]; SECONDS_EACH=N. See cluster.sh for the environment.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cluster.sh"

SECONDS_EACH=${SECONDS_EACH:-2}
# Some finish what they have begun however long it takes.
SECONDS_MAX=${SECONDS_MAX:-300}

need stress-ng:stress-ng
cluster_up
mkdir "$mount/stress" "$scratch/stress"
chmod 1777 "$mount/stress" "$scratch/stress"

ALL='access chattr chdir chmod chown copy-file dentry dir dirdeep dirmany dnotify dup fallocate fcntl fiemap file-ioctl filename flock
  fpunch fsize fstat getdent handle hdd inode-flags inotify io iomix lease link locka lockf lockofd mknod mmap mmapfork msync msyncmany
  open readahead rename revio rmap seek sendfile splice symlink sync-file touch utime verity xattr'

sizes() {
  case $1 in
    dirdeep) echo --dirdeep-inodes 2000 ;;
    copy-file | fallocate | hdd | iomix | readahead | sync-file) echo "--$1-bytes 64m" ;;
    mmap) echo --mmap-file --mmap-bytes 32m ;;
    msync | revio) echo "--$1-bytes 16m" ;;
    seek) echo --seek-size 16m ;;
  esac
}

# stress STRESSOR DIRECTORY INSTANCES: what it said is in $scratch/stress.out. 3 when it skipped itself.
stress() {
  # shellcheck disable=SC2046 # options
  timeout -k 5 "$SECONDS_MAX" stress-ng --"$1" "$3" $(sizes "$1") --timeout "$SECONDS_EACH" --verify --temp-path "$2/stress" \
    --metrics-brief >"$scratch/stress.out" 2>&1
  status=$?
  [ "$status" -eq 0 ] && grep -Eq 'fail: ' "$scratch/stress.out" && status=2
  [ "$status" -eq 0 ] && grep -Eq 'skipp(ed|ing) ' "$scratch/stress.out" && status=3
  rm -rf "${2:?}/stress"/* "${2:?}/stress"/.[!.]*
  return "$status"
}
complaints() { grep -E 'fail|error|unexpected|skipp' "$scratch/stress.out" | cut -c1-200 | head -n 5 | sed 's/^/    /'; }
ops() { awk -v name="$1" '$4 == name && $5 ~ /^[0-9]+$/ { print $5 }' "$scratch/stress.out"; }

verdict() {
  stress "$1" "$scratch" "$2"
  locally=$?
  stress "$1" "$mount" "$2"
  case $?:$locally in
    0:*) pass "$1 ($(ops "$1") operations)" ;;
    3:*) say "$1 skips itself on a RingFS: $(complaints)" ;;
    *:0) fail "$1" && complaints ;;
    *:*) say "$1 fails on the local disk too: $(complaints)" ;;
  esac
}

# shellcheck disable=SC2048 # a list
for stressor in ${*:-$ALL}; do verdict "$stressor" 1; done

if [ -z "${RINGFS_TARGET:-}" ] && [ $# -eq 0 ]; then
  SECONDS_EACH=6
  for stressor in dir hdd iomix rename seek mmap; do
    (sleep 2 && kill_hard leader) &
    if stress "$stressor" "$mount" 2; then pass "$stressor over kill -9 of the leader ($(ops "$stressor") operations)"; else
      fail "$stressor over kill -9 of the leader"
      complaints
    fi
    wait
    until_whole
  done
fi
finish
