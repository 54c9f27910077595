#!/bin/sh
# git on a RingFS: thousands of commits, gc --aggressive, repack, clones, worktrees, bundles, with fsck --full --strict after each
# step, and a server killed with SIGKILL in the middle of the commits, of gc and of a clone; at the end the mount.
# Usage: git.sh; COMMITS=N (default 2000). See cluster.sh for the environment.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cluster.sh"

COMMITS=${COMMITS:-2000}
SMALL=${SMALL:-150}

need git:git
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
cluster_up
repo=$mount/repo

fsck() { check "$1: fsck --full --strict" git -C "$2" fsck --full --strict --no-dangling; }

# history N: a stream for fast-import: N commits over 300 files in 20 directories, every 50th a merge.
history() {
  awk -v n="$1" 'BEGIN {
    for (i = 1; i <= n; i++) {
      body = ""
      for (line = 0; line < 10 + i % 60; line++) body = body sprintf("line %d of file %d at commit %d\n", line, i % 300, (i + line) % 97)
      print "commit refs/heads/main"
      print "mark :" i
      print "committer a <a@example.org> " 1700000000 + i " +0000"
      print "data <<END\ncommit " i "\nEND"
      if (i % 50 == 0) print "merge :" i - 20
      print "M 100644 inline dir" i % 20 "/file" i % 300 ".txt"
      print "data " length(body)
      print body
    }
  }'
}

# Commits one by one: a lock file, loose objects, an index and a reference each.
commit_small() (
  cd "$repo" || return 1
  i=0
  while [ $((i += 1)) -le "$SMALL" ]; do
    echo "$1 $i" >>"dir$((i % 20))/log.txt" && git add -A && git commit -qm "$1 $i" || return 1
  done
)
count_is() { [ "$(git -C "$1" rev-list --count --all)" -ge "$2" ]; }
check 'init' git init -q -b main "$repo" || finish
history "$COMMITS" >"$scratch/history"
check "fast-import of $COMMITS commits" sh -c "git -C '$repo' fast-import --quiet <'$scratch/history'" || finish
check 'checkout' git -C "$repo" reset -q --hard
fsck 'fast-import' "$repo"
in_the_middle leader 3 "$SMALL commits one by one" commit_small first
fsck 'commits' "$repo"
check 'all commits are there' count_is "$repo" $((COMMITS + SMALL))
check 'status is clean' sh -c "test -z \"\$(git -C '$repo' status --porcelain)\""
in_the_middle follower 1 'gc --aggressive --prune=now' git -C "$repo" gc -q --aggressive --prune=now
fsck 'gc' "$repo"
check 'repack -adf' git -C "$repo" repack -q -adf --window=5
check 'multi-pack-index and commit-graph' sh -c "cd '$repo' && git multi-pack-index write && git multi-pack-index verify &&
  git commit-graph write --reachable && git commit-graph verify"
fsck 'repack' "$repo"

in_the_middle leader 0.3 'clone --no-local' git clone -q --no-local "$repo" "$mount/copied"
check 'clone --local' git clone -q --local "$repo" "$mount/local"
check 'clone --shared' git clone -q --shared "$repo" "$mount/shared"
for clone in copied local shared; do
  fsck "clone $clone" "$mount/$clone"
  check "clone $clone: the same files" diff -r --exclude=.git "$repo" "$mount/$clone"
done
check 'push and fetch' sh -c "cd '$mount/local' && git checkout -q -b topic && echo topic >topic.txt && git add -A && git commit -qm topic &&
  git push -q origin topic && git -C '$mount/shared' fetch -q origin topic"
check 'worktree add' sh -c "cd '$repo' && git worktree add -q '$mount/tree' topic && test \"\$(cat '$mount/tree/topic.txt')\" = topic"
check 'worktree remove' git -C "$repo" worktree remove "$mount/tree"
check 'bundle' sh -c "git -C '$repo' bundle create -q '$mount/all.bundle' --all && git -C '$repo' bundle verify -q '$mount/all.bundle' &&
  git clone -q '$mount/all.bundle' '$mount/unbundled'"
fsck 'bundle' "$mount/unbundled"
check 'rebase of 20 commits' sh -c "cd '$mount/local' && git checkout -q -b moved main~20 && echo m >moved.txt && git add -A &&
  git commit -qm moved && git rebase -q moved main"
fsck 'rebase' "$mount/local"

if [ -z "${RINGFS_TARGET:-}" ]; then
  # git syncs objects, not references or the index: what it has said to be committed may be lost, but nothing may be broken.
  git -C "$repo" config core.fsync all
  commit_small second >"$scratch/second" 2>&1 &
  committing=$!
  sleep 3
  head=$(git -C "$repo" rev-parse HEAD)
  kill_hard mount
  wait "$committing"
  until_mounted || finish
  find "$repo/.git" -name '*.lock' -delete
  fsck 'kill -9 of the mount' "$repo"
  check 'kill -9 of the mount: an acknowledged commit is there' git -C "$repo" merge-base --is-ancestor "$head" HEAD
  check 'and it goes on' sh -c "cd '$repo' && git add -A && git commit -qm 'after the crash' --allow-empty"
fi
finish
