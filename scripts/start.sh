#!/bin/sh
# npm start: set everything up, then a local cluster mounted at ./.ringfs/mnt. Arguments go to `ringfs up`.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
exec ./ringfs up "$@"
