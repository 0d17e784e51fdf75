#!/bin/bash
# snapshot.sh DISK COPY [MOUNTED]: copies a disk, holes and all. A mounted one holds still meanwhile, and goes on
# whatever becomes of the copy; this runs where MOUNTED is seen.
set -euo pipefail
if [ -n "${3:-}" ]; then
    trap 'fsfreeze --unfreeze "$3"' EXIT
    fsfreeze --freeze "$3"
fi
timeout 60 cp --sparse=auto --reflink=auto "$1" "$2"
