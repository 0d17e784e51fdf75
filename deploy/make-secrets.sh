#!/bin/sh
# Makes the secrets that docker-compose.yml hands to the containers; those that exist stay as they are.
#
# They are bound into containers whose users have other numbers than their owner here, so it is the folder that is
# closed to everybody else, not the files.
set -eu

folder=${1:-$(dirname "$0")/../.patch/compose}
umask 077
mkdir -p "$folder"
chmod 0700 "$folder"

# 32 random bytes in hexadecimal, which need no quoting in a URL.
random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# make NAME CONTENT: whole or not at all.
make() {
    [ ! -e "$folder/$1" ] || return 0
    printf '%s\n' "$2" > "$folder/$1.new"
    chmod 0644 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "made $folder/$1"
}

make database-password "$(random)"
make database-url "postgres://patch:$(cat "$folder/database-password")@postgres:5432/patch"
make service-token "pm_$(random)"
make admin-token "pm_$(random)"
make approval-key "$(random)"
make webhook-key "$(random)"
make audit-key "$(random)"
