# shellcheck shell=sh
# Sourced by the scripts of this folder: a RingFS of three servers under devfuse for one script, and its PASS and FAIL lines.
#
#   RINGFS_BASE_PORT  first of three ports (default 7630)
#   RINGFS_SCRATCH    folder for the cluster, its mount and the local files (default: a new one in /tmp, removed at the end)
#   RINGFS_TARGET     run on this directory instead of a cluster, for example on the local disk as the oracle; without kills
set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
ringfs=$root/ringfs
base_port=${RINGFS_BASE_PORT:-7630}
if [ -n "${RINGFS_SCRATCH:-}" ]; then
  scratch=$RINGFS_SCRATCH
  mkdir -p "$scratch"
  scratch_is_ours=
else
  scratch=$(mktemp -d /tmp/ringfs-programs.XXXXXX)
  scratch_is_ours=1
fi
chmod 755 "$scratch" # other users work on the mount
data=$scratch/data
mount=$scratch/mnt
addresses=127.0.0.1:$base_port,127.0.0.1:$((base_port + 1)),127.0.0.1:$((base_port + 2))
passed=0
failed=0

say() { printf '# %s\n' "$*"; }
pass() {
  passed=$((passed + 1))
  printf 'PASS %s\n' "$*"
}
fail() {
  failed=$((failed + 1))
  printf 'FAIL %s\n' "$*"
}

# check NAME COMMAND...: passes when the command succeeds; prints the end of its output when it does not.
check() {
  check_name=$1
  shift
  if "$@" >"$scratch/check.out" 2>&1; then
    pass "$check_name"
  else
    fail "$check_name (exit $?): $*"
    tail -n "${CHECK_LINES:-15}" "$scratch/check.out" | sed 's/^/    /'
    return 1
  fi
}

# need PROGRAM:PACKAGE...: installs what is missing with apt-get as root, else names it and ends.
need() {
  packages=
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "${pair%%:*}" ] || packages="$packages ${pair##*:}"
  done
  [ -z "$packages" ] && return 0
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing$packages"
    # shellcheck disable=SC2086 # a list
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
      >"$scratch/apt.log" 2>&1 && return 0
    tail -n 5 "$scratch/apt.log"
  fi
  echo "missing Debian packages:$packages"
  exit 2
}

# json FILE EXPRESSION: evaluates a JavaScript expression over the parsed file, which is called `it` there.
json() { node -p "const it = JSON.parse(fs.readFileSync('$1', 'utf8')); $2"; }

# pid_of up|mount|leader|follower. The two servers that do not lead are both followers.
pid_of() {
  case $1 in
    up) json "$data/run.json" 'it.pid' ;;
    mount) json "$data/run.json" 'it.mountPid' ;;
    *)
      [ "$1" = leader ] && wanted=leader || wanted=follower
      "$ringfs" status "$addresses" --json >"$scratch/status.json" || return 1
      json "$scratch/status.json" "it.servers.find((one) => one.raft?.role === '$wanted').pid"
      ;;
  esac
}

cluster_up() {
  if [ -n "${RINGFS_TARGET:-}" ]; then
    mount=$(mktemp -d "$RINGFS_TARGET/programs.XXXXXX")
    chmod 755 "$mount"
    say "on $mount, without a cluster"
    return 0
  fi
  mkdir -p "$mount"
  "$ringfs" up --data "$data" --mount "$mount" --driver devfuse --base-port "$base_port" --detach || exit 2
}

# Ends the cluster and the script: what it prints last is the count, and its exit code says whether anything failed.
finish() {
  trap - EXIT INT TERM
  exec >&3 # an interrupted check had its output redirected
  cd /
  type cleanup >/dev/null 2>&1 && cleanup
  if [ -n "${RINGFS_TARGET:-}" ]; then
    rm -rf "$mount"
  elif [ -e "$data/run.json" ]; then
    check 'ringfs down' "$ringfs" down --data "$data"
  fi
  if [ -n "$scratch_is_ours" ]; then
    if [ "$failed" -eq 0 ]; then rm -rf "$scratch"; else say "kept for a look: $scratch (logs in $data/logs)"; fi
  fi
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit $?
}
exec 3>&1
trap 'fail "ended early" >&3; finish' EXIT INT TERM

# kill_hard up|mount|leader|follower: kill -9 of that process. `ringfs up` starts again what it has started.
kill_hard() {
  victim=$(pid_of "$1") && [ "$victim" -gt 1 ] || {
    fail "no process of the $1 to kill"
    return 1
  }
  say "kill -9 of the $1 (process $victim)"
  kill -9 "$victim"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
  tries=$(($1 * 5))
  what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || {
      fail "in time: $what"
      return 1
    }
    sleep 0.2
  done
}

# in_the_middle WHO SECONDS NAME COMMAND...: a check whose command has to succeed although that process is killed so many seconds
# after it has begun. A script that runs without a cluster kills nobody.
in_the_middle() {
  who=$1
  delay=$2
  shift 2
  if [ -n "${RINGFS_TARGET:-}" ]; then
    check "$@"
    return
  fi
  # Asked now: the answer takes longer than some commands.
  victim=$(pid_of "$who") || {
    fail "no process of the $who to kill"
    return 1
  }
  rm -f "$scratch/killed"
  (sleep "$delay" && : >"$scratch/killed" && kill -9 "$victim") &
  killer=$!
  check "$@"
  if [ -e "$scratch/killed" ]; then
    say "the $who (process $victim) was killed with SIGKILL in the middle of it"
  else
    say "it ended before the $who (process $victim) was killed with SIGKILL"
  fi
  wait "$killer"
  until_whole
}

is_mounted() { mountpoint -q "$mount" && pid=$(pid_of mount) && [ "$pid" -ne 0 ] && [ "$pid" != "${victim:-0}" ] && ls "$mount" >/dev/null; }
is_whole() {
  "$ringfs" status "$addresses" --json >"$scratch/status.json" &&
    [ "$(json "$scratch/status.json" "it.leader !== null && it.servers.filter((one) => one.raft !== null).length")" = 3 ]
}
until_mounted() { wait_for 60 'the mount is back' is_mounted; }
until_whole() { wait_for 60 'three servers and a leader' is_whole; }
