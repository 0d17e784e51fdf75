use std::collections::BTreeSet;

use advisories::{Index, match_host};

use crate::shared::{folder, inventory, read_osv, rows};

#[test]
fn almalinux_9_host_misses_what_dnf_lists() {
    let Some(folder) = folder() else { return };
    let (advisories, ..) = read_osv(&folder.join("advisories/osv/almalinux9-all.zip"));
    let index = Index::new(advisories);
    let inventory = inventory(&folder.join("inventories/mixed-patch-levels/alma9-h00.tsv"), "almalinux:9");
    let ours: BTreeSet<(String, String)> = match_host(&index, &inventory)
        .iter()
        .map(|found| (found.advisory.id.clone(), found.package_name().to_owned()))
        .collect();
    let theirs: BTreeSet<(String, String)> = rows(&folder.join("oracles/alma9-h00.tsv"))
        .into_iter()
        .map(|row| (row[0].clone(), row[2].clone()))
        .collect();
    assert_eq!(theirs.len(), 1147);
    assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "only ours");
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "only dnf's");
}

/// Of the 2,591 pairs of a plain comparison 1,773 are modular fixes for packages that are not modular. Five more are
/// of `perl:5.32`, which the host does not follow: its package is of `perl-libwww-perl:6.34`, and its package manager
/// names the installed version as the newest it would install.
#[test]
fn almalinux_8_host_is_spared_the_streams_it_does_not_follow() {
    let Some(folder) = folder() else { return };
    let (advisories, ..) = read_osv(&folder.join("advisories/osv/almalinux8-all.zip"));
    let index = Index::new(advisories);
    let inventory = inventory(&folder.join("inventories/alma_8.tsv"), "almalinux:8");
    let matches = match_host(&index, &inventory);
    assert_eq!(matches.len(), 2591 - 1773 - 5);
    let modular: Vec<(&str, &str)> = matches
        .iter()
        .filter(|found| found.fixed().contains(".module"))
        .map(|found| (found.advisory.id.as_str(), found.rule.kind().name()))
        .collect();
    assert_eq!(modular, [("ALEA-2020:4724", "rpm-module-stream")]);
}

/// What the package manager offers as newer is never older than the fix it would take.
#[test]
fn candidates_show_what_is_installable() {
    let Some(folder) = folder() else { return };
    let (advisories, ..) = read_osv(&folder.join("advisories/osv/almalinux9-all.zip"));
    let index = Index::new(advisories);
    let inventory = inventory(&folder.join("inventories/alma_9.tsv"), "almalinux:9");
    let matches = match_host(&index, &inventory);
    let installable = matches.iter().filter(|found| found.installable == Some(true)).count();
    let not_yet = matches.iter().filter(|found| found.installable == Some(false)).count();
    assert!(installable > 0 && not_yet > 0, "{installable} installable, {not_yet} not yet");
    assert_eq!(installable + not_yet, matches.len());
}
