#!/bin/sh
# PostgreSQL with its data directory on a RingFS: pgbench while the mount, the leader and a follower are killed with SIGKILL.
# After each: crash recovery works, no acknowledged transaction is lost, pgbench's books balance, amcheck and the page checksums
# are clean.  Usage: postgresql.sh; see cluster.sh for the environment.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cluster.sh"

SECONDS_EACH=${SECONDS_EACH:-12}
SCALE=${SCALE:-2}
CLIENTS=${CLIENTS:-4}

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
# Debian makes and starts a cluster of its own on installation unless told not to.
[ -n "$bin" ] || { [ "$(id -u)" -eq 0 ] && mkdir -p /etc/postgresql-common && [ ! -e /etc/postgresql-common/createcluster.conf ] &&
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; }
need "${bin:-/usr/lib/postgresql}/postgres:postgresql" runuser:util-linux
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

cluster_up
pgdata=$mount/pg
socket=$scratch/socket
port=$((base_port + 3))
if [ "$(id -u)" -eq 0 ]; then
  owner=postgres
  as() { (cd / && runuser -u postgres -- "$@"); }
else
  owner=$(id -un)
  as() { (cd / && "$@"); }
fi
mkdir -p "$socket" "$pgdata"
chown "$owner" "$socket" "$pgdata"
chmod 700 "$pgdata"

pg_start() { as "$bin/pg_ctl" -D "$pgdata" -l "$socket/log" -w -t 120 -o "-p $port -k $socket -c listen_addresses=''" start; }
pg_stop() { as "$bin/pg_ctl" -D "$pgdata" -w -t 120 -m fast stop; }
sql() { as "$bin/psql" -h "$socket" -p "$port" -d postgres -XAtq -v ON_ERROR_STOP=1 -c "$1"; }

# What is left of a server whose files are gone: it panics by itself or hangs on a dead mount.
pg_abandon() {
  postmaster=$(head -n 1 "$socket/.s.PGSQL.$port.lock" 2>/dev/null) || return 0
  [ -n "$postmaster" ] && pkill -9 -P "$postmaster"
  kill -9 "$postmaster" 2>/dev/null
  wait_for 30 'the old postgres is gone' sh -c "! kill -0 $postmaster"
  rm -f "$socket/.s.PGSQL.$port" "$socket/.s.PGSQL.$port.lock"
}
cleanup() { [ -e "$socket/.s.PGSQL.$port.lock" ] && { pg_stop || pg_abandon; } >/dev/null 2>&1; }

books_balance() {
  sums=$(sql "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)") || return 1
  echo "accounts|tellers|branches|history $sums"
  [ "$(echo "$sums" | tr '|' '\n' | sort -u | wc -l)" -eq 1 ]
}

# Each transaction that psql was told to be committed printed its number to local disk; all have to be in the table.
start_ledger() {
  : >"$scratch/ledger"
  (
    n=$(sql 'SELECT coalesce(max(id), 0) FROM ledger')
    while n=$((n + 1)) && sql "INSERT INTO ledger VALUES ($n)" >/dev/null 2>&1; do echo "$n" >>"$scratch/ledger"; done
  ) &
  ledger=$!
}
ledger_kept() {
  last=$(tail -n 1 "$scratch/ledger")
  echo "acknowledged up to $last"
  [ -n "$last" ] && [ "$(sql "SELECT count(*) FROM ledger WHERE id <= $last")" -eq "$last" ]
}

audit() {
  check "$1: pgbench's books balance" books_balance && say "$(cat "$scratch/check.out")"
  check "$1: every acknowledged insert is there" ledger_kept && say "$(cat "$scratch/check.out")"
  check "$1: pg_amcheck" as "$bin/pg_amcheck" -h "$socket" -p "$port" --heapallindexed --parent-check --install-missing postgres
  check "$1: stop" pg_stop
  check "$1: page checksums" as "$bin/pg_checksums" --check -D "$pgdata"
}

bench() { as "$bin/pgbench" -h "$socket" -p "$port" -n -c "$CLIENTS" -j 2 -T "$1" postgres; }

check 'initdb --data-checksums' as "$bin/initdb" -D "$pgdata" --data-checksums -A trust || finish
check 'start' pg_start || finish
check 'ledger' sql 'CREATE TABLE ledger (id int PRIMARY KEY)'
check "pgbench -i -s $SCALE" as "$bin/pgbench" -h "$socket" -p "$port" -i -q -s "$SCALE" postgres || finish
start_ledger
check "pgbench for $SECONDS_EACH s" bench "$SECONDS_EACH" && say "$(grep -E 'tps|latency average' "$scratch/check.out" | tr '\n' ' ')"
kill "$ledger"
audit 'undisturbed'

if [ -z "${RINGFS_TARGET:-}" ]; then
  for who in leader follower; do
    check "start before the $who dies" pg_start || finish
    start_ledger
    bench "$((SECONDS_EACH + 4))" >"$scratch/bench.out" 2>&1 &
    bench=$!
    sleep $((SECONDS_EACH / 3))
    kill_hard "$who"
    # Nothing of it reaches the application: pgbench ends as if nothing had been.
    if wait "$bench"; then pass "pgbench goes on over kill -9 of the $who"; else
      fail "pgbench goes on over kill -9 of the $who"
      tail -n 15 "$scratch/bench.out" | sed 's/^/    /'
    fi
    kill "$ledger"
    audit "kill -9 of the $who"
    until_whole
  done

  check 'start before the mount dies' pg_start || finish
  start_ledger
  bench 300 >"$scratch/bench.out" 2>&1 &
  bench=$!
  sleep $((SECONDS_EACH / 2))
  kill_hard mount
  until_mounted || finish
  wait "$bench"
  wait "$ledger"
  pg_abandon
  check 'recovery after kill -9 of the mount' pg_start || { tail -n 15 "$socket/log"; finish; }
  audit 'kill -9 of the mount'

  check 'start before postgres and the mount die' pg_start || finish
  start_ledger
  bench 300 >"$scratch/bench.out" 2>&1 &
  bench=$!
  sleep $((SECONDS_EACH / 2))
  # With `ringfs up` dead too nobody mounts again: the steps that a user takes by hand.
  kill_hard up
  kill_hard mount
  wait "$bench"
  wait "$ledger"
  pg_abandon
  check 'ringfs mount over the dead mount point' "$ringfs" mount "$addresses" "$mount" -o "log=$scratch/mount.log"
  check 'recovery after mounting by hand' pg_start || { tail -n 15 "$socket/log"; finish; }
  audit 'mounted by hand'
  check 'ringfs umount' "$ringfs" umount "$mount"
fi
finish
