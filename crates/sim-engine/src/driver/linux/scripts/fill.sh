#!/bin/bash
# fill.sh MOUNTED: allocates every free block of a host's disk, without writing to it.
set -euo pipefail
bytes=$(($(stat -f -c '%a * %S' "$1")))
part=$bytes
# The last blocks are needed for metadata: allocate smaller and smaller parts until nothing fits.
while [ "$part" -ge 4096 ]; do
    size=$(stat -c %s "$1/ballast" 2>/dev/null || echo 0)
    fallocate --offset "$size" --length "$part" "$1/ballast" 2>/dev/null || part=$((part / 2))
done
