//! Packages made for a scenario, and a repository of exactly these on a host.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crate::lab::{DEBIAN, LEAP, Lab};

/// The shell functions that make packages in `/srv/scenario`. `deb NAME VERSION [FIELD: VALUE]...`, with the script `$pre` before its
/// installation; `index [FIELD: VALUE]...` writes the lists.
pub const MAKE_DEBS: &str = r#"
set -e
rm -rf /srv/scenario; mkdir -p /srv/scenario; cd /srv/scenario
deb() {
    name=$1; version=$2; shift 2
    mkdir -p build/DEBIAN build/usr/share/$name
    head -c 20000 /dev/urandom >build/usr/share/$name/payload
    { printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.com>\nInstalled-Size: 40\n' $name $version
      for field; do echo "$field"; done; echo 'Description: of a scenario'; } >build/DEBIAN/control
    dpkg-deb --root-owner-group -Zgzip -b build ${name}_${version}_all.deb >/dev/null
    rm -r build
}
index() {
    : >Packages
    for file in *.deb; do
        dpkg-deb -f $file >>Packages
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $file $(stat -c %s $file) $(sha256sum $file | cut -d' ' -f1) >>Packages
    done
    { printf 'Origin: Scenario\nLabel: Scenario\nSuite: scenario\nDate: %s\n' "$(date -Ru)"
      for field; do echo "$field"; done
      printf 'SHA256:\n %s %s Packages\n' $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages); } >Release
}
"#;
const APT_SOURCE: &str =
    "echo 'deb [trusted=yes] file:/srv/scenario ./' >/etc/apt/sources.list.d/scenario.list";

/// A package. Its fields are lines of a control file, or of a spec.
#[derive(Clone, Copy)]
pub struct Made {
    pub name: &'static str,
    pub version: &'static str,
    pub deb: &'static [&'static str],
    pub rpm: &'static [&'static str],
}

pub const fn plain(name: &'static str, version: &'static str) -> Made {
    Made { name, version, deb: &[], rpm: &[] }
}

/// Makes `/srv/scenario` a repository of exactly these packages, and fetches its lists.
pub async fn publish(lab: &Lab, host: &str, packages: &[Made]) {
    if DEBIAN.contains(&host) {
        let mut lines = MAKE_DEBS.to_owned();
        for Made { name, version, deb, .. } in packages {
            let fields: Vec<String> = deb.iter().map(|field| format!("'{field}'")).collect();
            let _ = writeln!(lines, "deb {name} {version} {}", fields.join(" "));
        }
        lab.ssh(host, &format!("{lines}\nindex\n{APT_SOURCE}\napt-get -qq update")).await;
        return;
    }
    let folder = lab.folder.path().join(format!("made-{host}"));
    let _ = fs::remove_dir_all(&folder);
    make_rpms(&folder, packages);
    lab.send(host, &folder.join("repository"), "/srv/scenario").await;
    let (place, refresh) = if host == LEAP {
        ("zypp/repos.d", "zypper -nq refresh -f >/dev/null")
    } else {
        ("yum.repos.d", "dnf -q makecache --refresh")
    };
    let fields = "[scenario]\\nname=Scenario\\nbaseurl=file:///srv/scenario\\nenabled=1\\ngpgcheck=0\\nmetadata_expire=1\\nautorefresh=1\\n";
    lab.ssh(host, &format!("printf '{fields}' >/etc/{place}/scenario.repo && {refresh}")).await;
}

fn make_rpms(folder: &Path, packages: &[Made]) {
    let repository = folder.join("repository");
    fs::create_dir_all(&repository).unwrap();
    for Made { name, version, rpm, .. } in packages {
        let (upstream, release) = version.split_once('-').unwrap();
        let fields: String = rpm.iter().map(|field| format!("{field}\n")).collect();
        let spec = format!(
            "Name: {name}\nVersion: {upstream}\nRelease: {release}\nSummary: of a scenario\nLicense: Apache-2.0\nBuildArch: noarch\n\
             {fields}%description\nOf a scenario.\n%install\nmkdir -p %{{buildroot}}/usr/share/{name}\n\
             echo {version} >%{{buildroot}}/usr/share/{name}/version\n%files\n/usr/share/{name}\n"
        );
        let file = folder.join(format!("{name}-{version}.spec"));
        fs::write(&file, spec).unwrap();
        let define = |text: String| ["--define".to_owned(), text];
        let mut build = Command::new("rpmbuild");
        build.args(["--quiet", "-bb"]);
        build.args(define(format!("_topdir {}", folder.join("top").display())));
        build.args(define(format!("_rpmdir {}", repository.display())));
        build.args(define("_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned()));
        build.args(define("_binary_payload w1.gzdio".to_owned()));
        succeeds(build.arg(&file));
    }
    succeeds(Command::new("createrepo_c").arg("-q").arg(&repository));
}

/// The programs are those that made the images of the fleet.
pub fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub async fn install(lab: &Lab, host: &str, names: &[&str]) {
    let tool = match host {
        LEAP => "zypper -nq install -y",
        _ if DEBIAN.contains(&host) => "apt-get -qq -y install",
        _ => "dnf -q -y install",
    };
    lab.ssh(host, &format!("{tool} {} >/dev/null", names.join(" "))).await;
}

/// Removes the repository and its packages.
pub async fn remove(lab: &Lab, host: &str, names: &[&str]) {
    let line = match host {
        LEAP => {
            "zypper -nq remove -y NAMES >/dev/null; rm -f /etc/zypp/repos.d/scenario.repo; zypper -nq refresh >/dev/null"
        }
        _ if DEBIAN.contains(&host) => {
            "apt-get -qq -y purge NAMES >/dev/null; rm -f /etc/apt/sources.list.d/scenario.list; apt-get -qq update"
        }
        _ => {
            "dnf -q -y remove NAMES >/dev/null; rm -f /etc/yum.repos.d/scenario.repo; dnf -q makecache --refresh"
        }
    };
    lab.ssh(host, &format!("{}; rm -rf /srv/scenario", line.replace("NAMES", &names.join(" ")))).await;
}
