//! Any spelling of a release means the same release everywhere.

use advisories::{OsRelease, nearest_releases, os_key};
use proptest::prelude::*;

const NAMES: [&str; 15] = [
    "almalinux",
    "centos",
    "centos-stream",
    "debian",
    "fedora",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "oracle",
    "rhel",
    "rhel-eus",
    "rocky",
    "sles",
    "sles-ltss",
    "ubuntu",
    "ubuntu-pro",
];

/// A name with other separators and case, and a version behind one of the usual separators.
fn spelling() -> impl Strategy<Value = (String, String)> {
    let separators = prop::sample::select(vec!["-", "_", " ", ".", ""]);
    let before_version = prop::sample::select(vec![":", "-", "_", " ", "", " release ", " v"]);
    let version = prop_oneof![
        (1u8..30).prop_map(|major| major.to_string()),
        (1u8..30, 0u8..13).prop_map(|(major, minor)| format!("{major}.{minor}")),
        (1u8..30, 1u8..13, 0u16..2000)
            .prop_map(|(major, minor, patch)| format!("{major}.{minor:02}.{patch}")),
    ];
    (prop::sample::select(NAMES.to_vec()), separators, before_version, version, any::<bool>()).prop_map(
        |(name, separator, before, version, upper)| {
            let plain = format!("{name}:{version}");
            let written = format!("{}{before}{version}", name.replace('-', separator));
            (plain, if upper { written.to_uppercase() } else { written })
        },
    )
}

proptest! {
    #[test]
    fn canonical_text_of_any_spelling_parses_to_itself((plain, written) in spelling()) {
        let release: OsRelease = plain.parse().unwrap();
        let canonical = release.to_string();
        prop_assert_eq!(canonical.parse::<OsRelease>().unwrap(), release);
        prop_assert_eq!(os_key(&canonical), canonical.clone());
        prop_assert_eq!(os_key(&written), canonical, "{}", written);
    }

    #[test]
    fn any_text_has_one_key(text in "\\PC{0,60}") {
        let key = os_key(&text);
        prop_assert_eq!(os_key(&key), key.clone());
        prop_assert!(nearest_releases(&text).len() <= 3);
        if let Ok(release) = text.parse::<OsRelease>() {
            prop_assert_eq!(release.to_string(), key);
        }
    }
}
