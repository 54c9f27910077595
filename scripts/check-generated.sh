#!/bin/sh
# src/gen is what buf makes of proto/.
set -eu
cd "$(dirname "$0")/.."
node_modules/.bin/buf lint
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
PATH="$PWD/node_modules/.bin:$PATH" buf generate --output "$scratch"
diff -r src/gen "$scratch/src/gen"
