//! The publisher and the kind of an advisory, from its id.

use crate::advisory::Advisory;
use crate::advisory::AdvisoryKind::{self, Bugfix, Enhancement, Security};

/// Prefixes of ids, the longer of two similar ones first.
const PREFIXES: [(&str, &str, AdvisoryKind); 40] = [
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
    ("CESA-", "centos", Security),
    ("CEBA-", "centos", Bugfix),
    ("CEEA-", "centos", Enhancement),
    ("ALAS", "amazon", Security),
    ("FEDORA-EPEL-", "epel", Security),
    ("FEDORA-", "fedora", Security),
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
    match known(id) {
        Some((source, kind)) => (source.to_owned(), kind),
        None => (publisher_in_unknown_id(id).unwrap_or_default(), Security),
    }
}

/// What stands for the publisher where nothing else names it: the beginning of the id. `None` if its publisher is known.
fn publisher_in_unknown_id(id: &str) -> Option<String> {
    let prefix = || id.split_once('-').map_or("other", |(prefix, _)| prefix);
    known(id).is_none().then(|| prefix().to_ascii_lowercase())
}

/// Whether a notice is of this publisher. Earlier versions took the publisher of an unknown id from the id itself.
pub fn is_of(advisory: &Advisory, publisher: &str) -> bool {
    advisory.source == publisher || publisher_in_unknown_id(&advisory.id).as_deref() == Some(publisher)
}

/// The publisher of an id that may be in the style of none: as the feed names it (`errata@repo.example`, `Example Team`).
pub(super) fn publisher(id: &str, named: Option<&str>) -> String {
    let slug = |text: &str| -> String {
        let text = text.rsplit_once('@').map_or(text, |(_, domain)| domain).to_ascii_lowercase();
        text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').take(60).collect()
    };
    let named = named.map(slug).filter(|slug| !slug.is_empty());
    match (known(id), named) {
        (None, Some(named)) => named,
        _ => source_and_kind(id).0,
    }
}

/// Publishers by what their names contain.
const NAMES: [(&str, &str); 10] = [
    ("red hat", "redhat"),
    ("suse", "suse"),
    ("almalinux", "almalinux"),
    ("rocky", "rocky"),
    ("oracle", "oracle"),
    ("canonical", "ubuntu"),
    ("ubuntu", "ubuntu"),
    ("debian", "debian"),
    ("amazon", "amazon"),
    ("fedora", "fedora"),
];

/// The publisher of a document that must name it: an id in the style of another publisher does not make it that one's.
pub(super) fn publisher_of_document(id: &str, named: Option<&str>) -> String {
    let Some(name) = named.map(str::trim).filter(|name| !name.is_empty()) else {
        return source_and_kind(id).0;
    };
    let lower = name.to_ascii_lowercase();
    let known_name =
        NAMES.iter().find(|(part, _)| lower.contains(part)).map(|(_, source)| (*source).to_owned());
    known_name.unwrap_or_else(|| lower.chars().filter(char::is_ascii_alphanumeric).take(60).collect())
}

/// Publisher and kind of an id in the style of a known publisher.
pub(super) fn known(id: &str) -> Option<(&'static str, AdvisoryKind)> {
    let (_, source, kind) = PREFIXES.iter().find(|(prefix, ..)| id.starts_with(prefix))?;
    Some((source, *kind))
}

/// The name that a feed uses for a kind, if it states one.
pub(super) fn kind_from_word(word: &str) -> Option<AdvisoryKind> {
    [Security, Bugfix, Enhancement].into_iter().find(|kind| kind.as_str() == word)
}
