# What all images are made with.

# mirror_of ARCHIVE: prints the address of the machine's mirror of Debian's archive `main` or `security`, whatever its release.
mirror_of() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' |
        awk -v archive="$1" '$1 == "Debian" && ($2 ~ /security/ ? "security" : "main") == archive { print $2; exit }'
}

# Runs a command in a root, with a clean environment.
inside() {
    local root=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        chroot "$root" "$@"
}

# make_signing_key KEYS ARCHIVE: makes a key in the folder KEYS, and writes its public half.
make_signing_key() {
    mkdir -m 700 "$1"
    gpg --homedir "$1" --batch --quiet --passphrase '' --quick-gen-key 'Fleet <fleet@example.com>' rsa3072 sign never
    gpg --homedir "$1" --batch --export >"$2"
}

# sign_suite KEYS FOLDER: signs the indexes of a suite. The input is the beginning of its `Release`, up to its components.
sign_suite() (
    cd "$2"
    {
        cat
        printf 'Date: %s\nSHA256:\n' "$(date -Ru)"
        find main -type f | sort | while read -r file; do
            echo " $(sha256sum "$file" | cut -d' ' -f1) $(stat -c%s "$file") $file"
        done
    } >Release
    gpg --homedir "$1" --batch --yes --clearsign -o InRelease Release
)

# The key is not needed any more, and an agent of gpg would outlive this shell.
end_signing() {
    gpgconf --homedir "$1" --kill gpg-agent
}
