//! How a host that has no Python gets it.

use crate::package::Packaging;

/// The longest that the package manager may take, so that a silent repository does not hold up the run.
macro_rules! limited {
    ($line:literal) => {
        concat!("timeout --kill-after=10 900 sh -c '", $line, "'")
    };
}

const APT: &str = limited!(
    "export DEBIAN_FRONTEND=noninteractive; apt-get -q -o DPkg::Lock::Timeout=60 update && apt-get -y -q -o DPkg::Lock::Timeout=60 --no-remove --no-install-recommends install python3"
);
const DNF: &str =
    limited!("\"$(command -v dnf || command -v microdnf || command -v yum)\" -y install python3");
const ZYPPER: &str = limited!("zypper --non-interactive install python3");

/// The line that a shell of the host runs as root, before anything else. It is the same for every host with this package
/// manager, and approvers read it.
pub fn python_command(packaging: Packaging, os: &str) -> &'static str {
    let os = os.to_ascii_lowercase();
    let is_suse = ["sle", "suse", "opensuse", "leap", "tumbleweed"].iter().any(|name| os.starts_with(name));
    match packaging {
        Packaging::Dpkg => APT,
        Packaging::Rpm if is_suse => ZYPPER,
        Packaging::Rpm => DNF,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_comes_from_the_package_manager_of_the_host() {
        assert!(python_command(Packaging::Dpkg, "debian12").contains("apt-get -y"));
        assert!(python_command(Packaging::Rpm, "rocky9").contains("command -v dnf"));
        assert!(python_command(Packaging::Rpm, "opensuse-leap:15.6").contains("zypper"));
        for (packaging, os) in
            [(Packaging::Dpkg, "debian12"), (Packaging::Rpm, "rocky9"), (Packaging::Rpm, "sles15")]
        {
            let line = python_command(packaging, os);
            assert_eq!(line.matches('\'').count(), 2, "the inner line is quoted once: {line}");
        }
    }
}
