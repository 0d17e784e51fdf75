#!/bin/bash
# snapshot.sh DISK COPY [MOUNTED]: copies a disk with its holes. A mounted disk is frozen during the copy and always thawed
# after it. This runs in the mount namespace that has MOUNTED.
set -euo pipefail
if [ -n "${3:-}" ]; then
    trap 'fsfreeze --unfreeze "$3"' EXIT
    fsfreeze --freeze "$3"
fi
timeout 60 cp --sparse=auto --reflink=auto "$1" "$2"
