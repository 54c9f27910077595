#!/bin/sh
# Sets up what is missing, as `npm start` does, then runs a compiled program of this tree: sh scripts/run.sh dist/PROGRAM.js ARGS...
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
exec node --enable-source-maps "$@"
