//! The publisher and the kind of an advisory, from its id.

use crate::advisory::AdvisoryKind::{self, Bugfix, Enhancement, Security};

/// Prefixes of ids, the longer of two similar ones first.
const PREFIXES: [(&str, &str, AdvisoryKind); 34] = [
    ("ALSA-", "almalinux", Security),
    ("ALBA-", "almalinux", Bugfix),
    ("ALEA-", "almalinux", Enhancement),
    ("RHSA-", "redhat", Security),
    ("RHBA-", "redhat", Bugfix),
    ("RHEA-", "redhat", Enhancement),
    ("RLSA-", "rocky", Security),
    ("RLBA-", "rocky", Bugfix),
    ("RLEA-", "rocky", Enhancement),
    ("RXSA-", "rocky", Security),
    ("RXBA-", "rocky", Bugfix),
    ("RXEA-", "rocky", Enhancement),
    ("ELSA-", "oracle", Security),
    ("ELBA-", "oracle", Bugfix),
    ("ELEA-", "oracle", Enhancement),
    ("DSA-", "debian", Security),
    ("DLA-", "debian", Security),
    ("DTSA-", "debian", Security),
    ("DEBIAN-", "debian", Security),
    ("USN-", "ubuntu", Security),
    ("LSN-", "ubuntu", Security),
    ("UBUNTU-", "ubuntu", Security),
    ("SUSE-SU-", "suse", Security),
    ("SUSE-RU-", "suse", Bugfix),
    ("SUSE-FU-", "suse", Enhancement),
    ("SUSE-OU-", "suse", Enhancement),
    ("SUSE-", "suse", Security),
    ("openSUSE-SU-", "suse", Security),
    ("openSUSE-RU-", "suse", Bugfix),
    ("openSUSE-FU-", "suse", Enhancement),
    ("openSUSE-OU-", "suse", Enhancement),
    ("openSUSE-", "suse", Security),
    ("CVE-", "cve", Security),
    ("DCOS-", "datacenteros", Security),
];

/// Publisher and kind. OSV is about vulnerabilities, so a notice of an unknown publisher counts as one.
pub(super) fn source_and_kind(id: &str) -> (String, AdvisoryKind) {
    match PREFIXES.iter().find(|(prefix, ..)| id.starts_with(prefix)) {
        Some((_, source, kind)) => ((*source).to_owned(), *kind),
        None => {
            let prefix = id.split_once('-').map_or("other", |(prefix, _)| prefix);
            (prefix.to_ascii_lowercase(), Security)
        }
    }
}

/// The name that a feed uses for a kind, if it states one.
pub(super) fn kind_from_word(word: &str) -> Option<AdvisoryKind> {
    [Security, Bugfix, Enhancement].into_iter().find(|kind| kind.as_str() == word)
}
