use std::ops::ControlFlow;

use super::*;
use crate::advisory::Advisory;
use crate::severity::Severity;

fn read_all(text: &str) -> (Result<ReadReport, FeedError>, Vec<Result<Advisory, RecordError>>) {
    let mut met = Vec::new();
    let report = read(text.as_bytes(), &Limits::default(), &mut |outcome| {
        met.push(outcome);
        ControlFlow::Continue(())
    });
    (report, met)
}

fn update(id: &str, inner: &str) -> String {
    format!(
        r#"<update from="x" status="final" type="security" version="1"><id>{id}</id><title>Important: nodejs:20 update &amp; more</title>
        <issued date="2026-01-06 00:00:00"/><updated date="2026-02-07 08:09:10"/><severity>Important</severity>
        <description><![CDATA[Fixes <it>]]></description>
        <references><reference href="https://vendor.example/1" id="CVE-2026-90001" type="cve" title="t"/></references>
        <pkglist>{inner}</pkglist></update>"#
    )
}

const PACKAGES: &str = r#"<collection short="appstream"><name>AppStream</name><module name="nodejs" stream="20" version="1" context="c" arch="x86_64"/>
    <package name="nodejs" epoch="1" version="20.1.0" release="1.module_el9.4.0+1+abc" arch="x86_64" src="s"><filename>f</filename></package>
    <package name="nodejs" epoch="1" version="20.1.0" release="1.module_el9.4.0+1+abc" arch="src" src="s"/></collection>
    <collection short="baseos"><package name="xz" epoch="0" version="5.2.5" release="8.el9_0" arch="x86_64"/></collection>"#;

#[test]
fn update_is_read_with_its_module() {
    let (report, met) = read_all(&format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<updates>{}</updates>",
        update("ALSA-2026:1", PACKAGES)
    ));
    assert_eq!(report.unwrap().accepted, 1);
    let advisory = met[0].as_ref().unwrap();
    assert_eq!((advisory.source.as_str(), advisory.severity), ("almalinux", Severity::High));
    assert_eq!(advisory.summary, "Important: nodejs:20 update & more");
    assert_eq!(advisory.details, "Fixes <it>");
    assert_eq!(advisory.modified.to_rfc3339(), "2026-02-07T08:09:10+00:00");
    assert_eq!(advisory.cves, ["CVE-2026-90001"]);
    let told: Vec<_> = advisory
        .affected
        .iter()
        .map(|one| {
            (one.os.to_string(), one.package.as_str(), one.fixed.as_deref().unwrap(), one.modules.len())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("almalinux:9".to_owned(), "nodejs", "1:20.1.0-1.module_el9.4.0+1+abc", 1),
            ("almalinux:9".to_owned(), "xz", "5.2.5-8.el9_0", 0)
        ]
    );
}

#[test]
fn bad_updates_do_not_lose_the_others() {
    let text = format!(
        "<updates>{}<update><title>no id</title></update><update><id>RLSA-2026:2</id><issued date=\"soon\"/></update>{}</updates>",
        update("ALSA-2026:1", ""),
        update("ALSA-2026:3", PACKAGES)
    );
    let (report, met) = read_all(&text);
    let report = report.unwrap();
    assert_eq!((report.read, report.accepted, report.refused), (4, 2, 2));
    assert_eq!(
        met[2].as_ref().unwrap_err().to_string(),
        "RLSA-2026:2: `issued` is \"soon\", which is not a time"
    );
}

#[test]
fn retracted_update_is_withdrawn() {
    let text = update("SUSE-SU-2026:1", "").replace("\"final\"", "\"retracted\"");
    let (report, met) = read_all(&format!("<updates>{text}</updates>"));
    assert_eq!(report.unwrap().withdrawn, 1);
    assert!(!met[0].as_ref().unwrap().is_in_force());
}

#[test]
fn suse_names_its_product_in_the_collection() {
    let packages = r#"<collection short="SLE-Module-Basesystem-15-SP3"><package name="xz" version="5.2.3" release="1" arch="x86_64"/></collection>"#;
    let (_, met) = read_all(&format!("<updates>{}</updates>", update("SUSE-SU-2026:1", packages)));
    assert_eq!(met[0].as_ref().unwrap().affected[0].os.to_string(), "sles:15.3");
}

#[test]
fn hostile_xml_is_an_error_and_keeps_what_was_read() {
    let good = update("ALSA-2026:1", PACKAGES);
    for (rest, said) in [
        ("<update>", "ends in the middle"),
        ("<update></updates>", "cannot be read further"),
        (&"<a>".repeat(100), "nested"),
        ("<update a=\"1\" a=\"2\">", "cannot be read further"),
    ] {
        let (report, met) = read_all(&format!("<updates>{good}{rest}"));
        let error = report.unwrap_err().to_string();
        assert!(error.contains(said), "{rest}: {error}");
        assert_eq!(met.len(), 1);
    }
    let entities = r#"<!DOCTYPE updates [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>"#;
    let (report, met) = read_all(&format!("{entities}<updates>{good}</updates>"));
    assert!(report.unwrap_err().to_string().contains("document type"));
    assert!(met.is_empty());
    for (text, said) in [
        ("<?xml version=\"1.0\" encoding=\"UTF-16\"?><updates/>", "convert it to UTF-8"),
        ("<html></html>", "its root must be"),
        ("", "ends in the middle"),
    ] {
        assert!(read_all(text).0.unwrap_err().to_string().contains(said), "{text}");
    }
}

#[test]
fn unknown_entities_are_left_as_they_are_written() {
    let text = update("ALSA-2026:1", "").replace("&amp; more", "&x; &#65;&#x42;");
    let (_, met) = read_all(&format!("<updates>{text}</updates>"));
    assert_eq!(met[0].as_ref().unwrap().summary, "Important: nodejs:20 update &x; AB");
}

#[test]
fn one_endless_update_does_not_fill_memory() {
    let limits = Limits { record_bytes: 100_000, ..Limits::default() };
    let text = format!("<updates><update><description>{}", "a".repeat(1_000_000));
    let error = read(text.as_bytes(), &limits, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("larger than 100000 bytes"), "{error}");
}
