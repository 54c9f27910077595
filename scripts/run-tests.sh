#!/bin/sh
# Runs the compiled tests of the named layers (folders of test/) and fails when there are none.
# The last line is "N passed, N failed". With RINGFS_TALLY=FILE the two numbers are appended there as well.
set -u
cd "$(dirname "$0")/.."
concurrency=2
case " $* " in *" integration "* | *" posix "*) concurrency=1 ;; esac # they measure processes and own ports and mounts
files=""
for layer in "$@"; do
  found=$(find "dist/test/$layer" -name '*.test.js' 2>/dev/null | sort)
  # What was deleted from test/ may still be in dist/.
  for file in $found; do
    source="${file#dist/}"
    [ -f "${source%.js}.ts" ] && files="$files $file"
  done
done
if [ -z "$files" ]; then
  echo "no tests in: $*"
  echo '0 passed, 1 failed'
  exit 1
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
UV_THREADPOOL_SIZE=16 node --enable-source-maps --test --test-concurrency=$concurrency $files >"$output" 2>&1
status=$?
if [ "$status" -ne 0 ] || [ -n "${VERBOSE:-}" ]; then cat "$output"; fi
count() { sed -n "s/^[#ℹ] $1 \([0-9][0-9]*\)$/\1/p" "$output" | tail -n 1; }
passed=$(count pass)
failed=$(count fail)
cancelled=$(count cancelled)
skipped=$(count skipped)
failed=$((${failed:-0} + ${cancelled:-0}))
passed=${passed:-0}
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
if [ "${skipped:-0}" -ne 0 ]; then
  echo "skipped ${skipped}:"
  grep -E '# SKIP|﹣' "$output"
fi
[ -n "${RINGFS_TALLY:-}" ] && echo "$passed $failed" >>"$RINGFS_TALLY"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
