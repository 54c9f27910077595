#!/bin/sh
# SQLite on a RingFS: several processes transfer money in one database, with every journal mode, while writers, the leader and
# the mount are killed with SIGKILL. After each: integrity_check is clean, no money was made or lost, and every transfer that was
# acknowledged is there. With SQLITE_BUILD=DIR, a folder where SQLite was built from source (configure && make testfixture
# mptester), also the files of its own test suite about locks, journals and files, each compared with the local disk.
# Usage: sqlite.sh; see cluster.sh for the environment.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cluster.sh"

SECONDS_EACH=${SECONDS_EACH:-8}
WRITERS=${WRITERS:-3}
ACCOUNTS=50
SUITE_SECONDS=${SUITE_SECONDS:-1800} # for one file of SQLite's own suite; vacuum3 syncs thousands of times

SQLITE_TESTS=${SQLITE_TESTS:-attach2 atomic2 busy2 delete_db exclusive exclusive2 io journal1 journal2 jrnlmode jrnlmode2 jrnlmode3
  lock lock2 lock3 lock4 lock5 lock6 lock7 mjournal nolock pager2 pager3 rollback savepoint shared superlock symlink sync
  trans trans2 trans3 unixexcl vacuum vacuum2 vacuum3 wal wal2 wal4 wal5 wal6 wal7 wal8 wal9 walmode walpersist walthread}

need sqlite3:sqlite3
cluster_up
db=$mount/bank/bank.db
mkdir "$mount/bank"

sql() { sqlite3 -bail -cmd '.timeout 60000' "$db" "$1"; }

# writer NAME: transfers until it is killed or fails; a line on the local disk per acknowledged transfer.
writer() {
  n=0
  while n=$((n + 1)); do
    sql "BEGIN IMMEDIATE;
      UPDATE account SET balance = balance - $n WHERE id = $((n * 7 % ACCOUNTS));
      UPDATE account SET balance = balance + $n WHERE id = $((n * 13 % ACCOUNTS));
      INSERT INTO transfer VALUES ('$1', $n, randomblob($n * 37 % 9000));
      COMMIT;" >>"$scratch/errors" 2>&1 || return 1
    echo "$n" >>"$scratch/acknowledged.$1"
  done
}

start_writers() {
  rm -f "$scratch"/acknowledged.* "$scratch/errors"
  round=$((${round:-0} + 1))
  writers=
  i=0
  while [ $((i += 1)) -le "$WRITERS" ]; do
    writer "$round-$i" &
    writers="$writers $!"
  done
}

# Every writer has had a few transfers acknowledged, however slow the machine is.
all_wrote() {
  i=0
  while [ $((i += 1)) -le "$WRITERS" ]; do
    [ "$(wc -l <"$scratch/acknowledged.$round-$i")" -ge 3 ] || return 1
  done
}
until_all_wrote() { wait_for 120 'every writer writes' all_wrote; }

# The shells first, so that no new sqlite3 is started, then those that are in the middle of a transaction.
kill_writers() {
  for shell in $writers; do
    kill -STOP "$shell" 2>/dev/null
    pkill -9 -P "$shell"
    kill -9 "$shell" 2>/dev/null
  done
  wait
}

integrity() { [ "$(sql 'PRAGMA integrity_check')" = ok ]; }
balanced() {
  sums=$(sql "SELECT (SELECT sum(balance) FROM account), (SELECT count(*) FROM account)")
  echo "sum and count: $sums"
  [ "$sums" = "0|$ACCOUNTS" ]
}
acknowledged() {
  for file in "$scratch"/acknowledged.*; do
    last=$(tail -n 1 "$file")
    there=$(sql "SELECT count(*) FROM transfer WHERE writer = '${file##*acknowledged.}' AND n <= $last")
    echo "writer ${file##*.}: $last acknowledged, $there there"
    [ "$there" -eq "$last" ] || return 1
  done
}
no_errors() { ! grep . "$scratch/errors"; }
audit() {
  check "$1: integrity_check" integrity
  check "$1: no money is made or lost" balanced
  check "$1: every acknowledged transfer is there" acknowledged && say "$(tr '\n' ';' <"$scratch/check.out")"
}

for mode in wal delete truncate persist; do
  rm -rf "$mount/bank"
  mkdir "$mount/bank"
  check "$mode: new database" sql "PRAGMA journal_mode=$mode; PRAGMA synchronous=FULL;
    CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
    CREATE TABLE transfer (writer TEXT, n INTEGER, ballast BLOB, PRIMARY KEY (writer, n));
    WITH RECURSIVE ids(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM ids WHERE id < $ACCOUNTS - 1)
    INSERT INTO account SELECT id, 0 FROM ids;"
  # Other journal modes than WAL are of a connection, not of the file.
  sql() {
    sqlite3 -bail -cmd '.timeout 60000' -cmd '.output /dev/null' -cmd "PRAGMA journal_mode=$mode" -cmd '.output stdout' "$db" "$1"
  }

  start_writers
  until_all_wrote
  sleep "$SECONDS_EACH"
  kill_writers
  check "$mode: no writer failed" no_errors
  audit "$mode, kill -9 of the writers"

  [ -n "${RINGFS_TARGET:-}" ] && continue
  start_writers
  until_all_wrote
  kill_hard leader
  sleep "$SECONDS_EACH"
  kill_writers
  check "$mode: no writer noticed that the leader died" no_errors
  audit "$mode, kill -9 of the leader"
  until_whole

  start_writers
  until_all_wrote
  kill_hard mount
  until_mounted || finish
  kill_writers
  audit "$mode, kill -9 of the mount"
done

# own_test FILE DIRECTORY: the last line of a file of SQLite's test suite, run in that directory.
own_test() {
  (cd "$2" && TMPDIR=$2 SQLITE_TMPDIR=$2 timeout -k 5 "$SUITE_SECONDS" "$SQLITE_BUILD/testfixture" "$1" 2>&1) |
    grep -E '^! |errors out of' | sed 's/ on .*//'
}
if [ -n "${SQLITE_BUILD:-}" ]; then
  source=$(sed -n 's/^TOP = //p' "$SQLITE_BUILD/Makefile")
  mkdir "$mount/suite" "$scratch/suite"
  for name in $SQLITE_TESTS; do
    own_test "$source/test/$name.test" "$scratch/suite" >"$scratch/suite.local"
    own_test "$source/test/$name.test" "$mount/suite" >"$scratch/suite.mount"
    check "suite: $name ($(tail -n 1 "$scratch/suite.local"))" diff "$scratch/suite.local" "$scratch/suite.mount"
  done
  for journal in wal delete; do
    check "mptester, journal_mode=$journal" sh -c "cd '$mount/suite' && '$SQLITE_BUILD/mptester' mp.db '$source/mptest/multiwrite01.test' \
      --journalmode $journal --timeout 60000"
  done
fi
finish
