# The packages of the laboratory and their repositories.
#
# They are small packages of our own with the names and versions of real ones. A package with a port has a service that
# listens on it. All packages call `/usr/lib/fleet/fault` to apply injected faults.

FLEET_SUITES="main security updates slow broken"

# define NAME VERSION SUITE [port=N] [unit=NAME] [requires=PACKAGE] [provides=NAME] [obsoletes=NAME] [reboot] [slow] [refuses]
# builds one version of a package with the function `make` of the current family.
define() {
    local name=$1 version=$2 suite=$3 port= unit= requires= provides= obsoletes= body=
    shift 3
    for word; do
        case $word in
        port=*) port=${word#port=} ;;
        unit=*) unit=${word#unit=} ;;
        requires=*) requires=${word#requires=} ;;
        provides=*) provides=${word#provides=} ;;
        obsoletes=*) obsoletes=${word#obsoletes=} ;;
        reboot) body='echo "*** System restart required ***" > /run/reboot-required; echo '$name' >> /run/reboot-required.pkgs' ;;
        slow) body='i=0; while [ $i -lt 20 ]; do echo "configuring step $i"; sleep 1; i=$((i+1)); done' ;;
        refuses) body='[ -e /etc/'$name'/allow ] || { echo "'$name': refused" >&2; exit 1; }' ;;
        esac
    done
    make "$name" "$version" "$suite" "$port" "${unit:-$name}" "$requires" "$body" "$provides" "$obsoletes"
}

# Writes the files of a package below FOLDER.
content() {
    local folder=$1 name=$2 version=$3 port=$4 unit=$5 units=$6
    mkdir -p "$folder/usr/share/$name" "$folder/etc/$name"
    echo "$name $version" >"$folder/usr/share/$name/version"
    echo "# settings of $name" >"$folder/etc/$name/$name.conf"
    head -c 60000 /dev/urandom >"$folder/usr/share/$name/payload"
    [ -n "$port" ] || return 0
    mkdir -p "$folder/$units"
    cat >"$folder/$units/$unit.service" <<UNIT
[Unit]
Description=$unit of the laboratory
After=network.target
[Service]
ExecStartPre=/usr/lib/fleet/fault service $unit
ExecStart=/usr/bin/busybox httpd -f -p $port -h /usr/share/$name
Restart=no
[Install]
WantedBy=multi-user.target
UNIT
}

# Prints the post-install script, which restarts running services.
after_install() {
    local name=$1 port=$2 unit=$3 body=$4
    [ -z "$body" ] || echo "$body"
    [ -z "$port" ] || echo "if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl try-restart $unit.service || true; fi"
}

make_deb() {
    local name=$1 version=$2 suite=$3 port=$4 unit=$5 requires=$6 body=$7
    local folder=$work/deb/$name-$version
    content "$folder" "$name" "$version" "$port" "$unit" lib/systemd/system
    mkdir -p "$folder/DEBIAN" "$repository/apt/pool/$suite"
    echo "/etc/$name/$name.conf" >"$folder/DEBIAN/conffiles"
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Fleet <fleet@example.com>\n' "$name" "$version"
        [ -z "$requires" ] || printf 'Depends: %s\n' "$requires"
        printf 'Section: misc\nPriority: optional\nDescription: %s of the laboratory\n' "$name"
    } >"$folder/DEBIAN/control"
    {
        printf '#!/bin/sh\nset -e\n[ "$1" = configure ] || exit 0\n/usr/lib/fleet/fault package %s\n' "$name"
        after_install "$name" "$port" "$unit" "$body"
    } >"$folder/DEBIAN/postinst"
    chmod 755 "$folder/DEBIAN/postinst"
    dpkg-deb --root-owner-group -Zgzip -b "$folder" "$repository/apt/pool/$suite/${name}_${version/:/%3a}_all.deb" >/dev/null
}

# Into the repositories `$rpms`.
make_rpm() {
    local name=$1 version=$2 suite=$3 port=$4 unit=$5 requires=$6 body=$7 provides=$8 obsoletes=$9
    local folder=$work/$rpms/$name-$version epoch= plain=$version owned=$name
    case $version in *:*) epoch=${version%%:*} plain=${version#*:} ;; esac
    # Versions that are installed side by side own no common file.
    [ -z "$provides" ] || owned=$name-$plain
    content "$folder" "$owned" "$version" "$port" "$unit" usr/lib/systemd/system
    {
        printf 'Name: %s\n%sVersion: %s\nRelease: %s\nSummary: %s of the laboratory\nLicense: Apache-2.0\nBuildArch: noarch\n' \
            "$name" "${epoch:+Epoch: $epoch
}" "${plain%-*}" "${plain##*-}" "$name"
        [ -z "$requires" ] || printf 'Requires: %s\n' "$requires"
        [ -z "$provides" ] || printf 'Provides: %s\n' "$provides"
        [ -z "$obsoletes" ] || printf 'Obsoletes: %s\n' "$obsoletes"
        printf '%%description\nOf the laboratory.\n%%install\ncp -a %s/. %%{buildroot}/\n' "$folder"
        printf '%%pre\n[ ! -x /usr/lib/fleet/fault ] || /usr/lib/fleet/fault package %s\n' "$name"
        case $body in *refused*) echo "$body" ;; esac
        printf '%%post\n'
        case $body in *refused*) echo : ;; *) after_install "$name" "$port" "$unit" "$body" ;; esac
        printf '%%files\n/usr/share/%s\n%%config(noreplace) /etc/%s/%s.conf\n' "$owned" "$owned" "$owned"
        [ -z "$port" ] || echo "/usr/lib/systemd/system/$unit.service"
    } >"$folder.spec"
    build_rpm "$folder.spec" "$suite"
}

build_rpm() {
    local spec=$1 suite=$2
    mkdir -p "$repository/$rpms/$suite"
    rpmbuild --quiet -bb --define "_topdir $work/$rpms/top" --define "_rpmdir $repository/$rpms/$suite" \
        --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' --define '_binary_payload w1.gzdio' \
        "$spec" >/dev/null
}

# Packages with the same name in all families, but another release suffix.
define_demo_packages() {
    local s=$1
    define demo-tools "2.0-1$s" main
    define demo-tools "2.1-1$s" updates
    define demo-kernel "6.1.140-1$s" main reboot
    define demo-kernel "6.1.147-1$s" security reboot
    define demo-slow "1.0-1$s" main
    define demo-slow "1.1-1$s" slow slow
    define demo-broken "1.0-1$s" main
    define demo-broken "1.1-1$s" broken refuses
    define api "1.4.0-1$s" main port=8080 unit=api
    define api "1.4.1-1$s" updates port=8080 unit=api
}

define_debian_packages() {
    make() { make_deb "$@"; }
    define_demo_packages ""
    define openssl "3.0.15-1~deb12u1" main
    define openssl "3.0.17-1~deb12u3" main
    define openssl "3.0.18-1~deb12u2" security
    define curl "7.88.1-10+deb12u12" main
    define curl "7.88.1-10+deb12u14" main
    define nginx "1.22.1-9+deb12u3" main port=443 requires=openssl
    define nginx "1.22.1-9+deb12u4" main port=443 requires=openssl
    define haproxy "2.6.12-1+deb12u2" main
    define postgresql-15 "15.14-0+deb12u1" main port=5432 unit=postgresql
    define postgresql-15 "15.15-0+deb12u1" main port=5432 unit=postgresql
    define redis-server "5:7.0.15-1~deb12u6" main port=6379 unit=redis
    define linux-image-amd64 "6.1.159-1" main reboot
}

define_rocky_packages() {
    make() { make_rpm "$@"; }
    define_demo_packages .el9
    define openssl "1:3.2.2-6.el9_6.2" main
    define openssl "1:3.2.2-7.el9_7" security
    define openssl-libs "1:3.2.2-6.el9_6.2" main
    # Part of the library from its next version on. No host has it unless it is installed by name.
    define openssl-engine "1.0-3.el9" main
    define openssl-libs "1:3.2.2-7.el9_7" security obsoletes="openssl-engine < 2.0"
    define curl "7.76.1-34.el9_7.2" main
    define libcurl "7.76.1-34.el9_7.2" main
    define nginx "1:1.20.1-24.el9_7" main port=443 requires=openssl-libs
    define nginx "1:1.20.1-24.el9_7.1" main port=443 requires=openssl-libs
    define haproxy "2.4.22-4.el9_6.1" main
    define postgresql-server "13.23-2.el9_7" main port=5432 unit=postgresql
    define redis "6.2.20-2.el9_7" main port=6379
    # The userland is Debian's. These packages have the names of a RHEL-like host.
    define sudo "1.9.5p2-10.el9_6.2" main
    define systemd "252-55.el9_7.3" main
    define openssh "8.7p1-48.el9_7" main
    define openssh-server "8.7p1-48.el9_7" main
    define kernel "5.14.0-611.16.1.el9_7" main reboot
    define kernel "5.14.0-611.24.1.el9_7" security reboot
}

define_leap_packages() {
    make() { make_rpm "$@"; }
    define_demo_packages .150600.1
    define openssl "3.1.4-150600.5.7.1" main
    define openssl "3.1.4-150600.5.15.1" security
    define libopenssl3 "3.1.4-150600.5.7.1" main
    define libopenssl3 "3.1.4-150600.5.15.1" security
    define curl "8.6.0-150600.4.3.1" main
    define nginx "1.21.5-150600.10.3.1" main port=443 requires=libopenssl3
    define sudo "1.9.15p5-150600.3.6.2" main
    # Several kernels are installed side by side.
    define kernel-default "6.4.0-150600.23.17.1" main provides="multiversion(kernel)" reboot
    define kernel-default "6.4.0-150600.23.25.1" security provides="multiversion(kernel)" reboot
}

# Tells rpm about the userland that was not installed from rpms.
make_userland_rpm() {
    local version=$1
    mkdir -p "$work/$rpms"
    cat >"$work/$rpms/userland.spec" <<SPEC
Name: fleet-userland
Version: $version
Release: 1
Summary: what the userland below provides
License: Apache-2.0
BuildArch: noarch
Provides: /bin/sh
Provides: /usr/bin/sh
Provides: bash
Provides: system-release = $version
Provides: system-release(releasever) = ${version%%.*}
%description
Of the laboratory.
%files
SPEC
    build_rpm "$work/$rpms/userland.spec" main
}

advisory() {
    local id=$1 type=$2 severity=$3 cve=$4 name=$5 version=$6 reboot=${7:-} epoch=0 plain reference=
    [ -z "$cve" ] || reference="<reference href='https://example.com/$cve' id='$cve' type='cve' title='$cve'/>"
    case $version in *:*) epoch=${version%%:*} ;; esac
    plain=${version#*:}
    cat <<XML
  <update from="fleet@example.com" status="final" type="$type" version="1">
    <id>$id</id><title>$name $type update</title><issued date="2026-03-10 09:00:00"/><updated date="2026-03-10 09:00:00"/>
    <severity>$severity</severity><release>Fleet</release><summary>$name $type update</summary><description>$name $type update</description>
    <references>$reference</references>
    <pkglist><collection short="fleet"><name>fleet</name>
      <package name="$name" version="${plain%-*}" release="${plain##*-}" epoch="$epoch" arch="noarch" src="$name-$plain.src.rpm"><filename>$name-$plain.noarch.rpm</filename>${reboot:+<reboot_suggested>True</reboot_suggested>}</package>
    </collection></pkglist>
  </update>
XML
}

index_rpms() {
    local suite
    for suite in $FLEET_SUITES; do
        mkdir -p "$repository/$rpms/$suite"
        createrepo_c -q "$repository/$rpms/$suite"
    done
}

# add_advisories SUITE: advisories from the input.
add_advisories() {
    { echo '<?xml version="1.0" encoding="UTF-8"?><updates>'; cat; echo '</updates>'; } >"$work/$rpms/updateinfo.xml"
    modifyrepo_c --mdtype=updateinfo "$work/$rpms/updateinfo.xml" "$repository/$rpms/$1/repodata" >/dev/null
}

rocky_advisories() {
    {
        advisory FLSA-2026:0001 security Critical CVE-2026-90100 openssl "1:3.2.2-7.el9_7"
        advisory FLSA-2026:0002 security Critical CVE-2026-90100 openssl-libs "1:3.2.2-7.el9_7"
        advisory FLSA-2026:0003 security Important CVE-2026-91003 kernel "5.14.0-611.24.1.el9_7" reboot
        advisory FLSA-2026:0004 security Moderate CVE-2026-91004 demo-kernel "6.1.147-1.el9" reboot
    } | add_advisories security
    {
        advisory FLBA-2026:0005 bugfix None "" demo-tools "2.1-1.el9"
        advisory FLBA-2026:0006 bugfix None "" api "1.4.1-1.el9"
    } | add_advisories updates
}

leap_advisories() {
    {
        advisory FLEET-SLE-15.6-2026-1 security critical CVE-2026-90100 openssl "3.1.4-150600.5.15.1"
        advisory FLEET-SLE-15.6-2026-2 security critical CVE-2026-90100 libopenssl3 "3.1.4-150600.5.15.1"
        advisory FLEET-SLE-15.6-2026-3 security important CVE-2026-91003 kernel-default "6.4.0-150600.23.25.1" reboot
    } | add_advisories security
    advisory FLEET-SLE-15.6-2026-4 recommended moderate "" demo-tools "2.1-1.150600.1" | add_advisories updates
}

index_debs() {
    local suite folder keys=$work/keys
    make_signing_key "$keys" "$repository/archive.gpg"
    for suite in $FLEET_SUITES; do
        folder=$repository/apt/dists/fleet-$suite
        mkdir -p "$folder/main/binary-amd64" "$folder/main/binary-all" "$repository/apt/pool/$suite"
        (cd "$repository/apt" && dpkg-scanpackages -m "pool/$suite" 2>/dev/null) >"$folder/main/binary-amd64/Packages"
        gzip -9kf "$folder/main/binary-amd64/Packages"
        {
            printf 'Origin: Fleet\nLabel: Fleet-%s\nSuite: fleet-%s\nCodename: fleet-%s\n' "$suite" "$suite" "$suite"
            printf 'Architectures: amd64 all\nComponents: main\n'
        } | sign_suite "$keys" "$folder"
    done
    end_signing "$keys"
}

build_packages() {
    local repository=$1/repository work=$1/packages rpms
    mkdir -p "$work/deb"
    define_debian_packages
    index_debs
    rpms=rpm
    make_userland_rpm 9.4
    define_rocky_packages
    index_rpms
    rocky_advisories
    rpms=leap
    make_userland_rpm 15.6
    define_leap_packages
    index_rpms
    leap_advisories
}
