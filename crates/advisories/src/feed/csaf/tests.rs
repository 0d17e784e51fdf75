use super::*;
use crate::advisory::{Advisory, AdvisoryKind};
use crate::severity::Severity;

fn parse(text: &str) -> Result<Converted, RecordError> {
    parse_document(text.as_bytes(), "x.json", &Limits::default())
}

fn fixes(advisory: &Advisory) -> Vec<String> {
    let told = |one: &crate::AffectedPackage| {
        let modules: Vec<String> = one.modules.iter().map(ToString::to_string).collect();
        let (fixed, arch) = (one.fixed.as_deref().unwrap_or("-"), one.arch.as_deref().unwrap_or("-"));
        format!("{} {} {fixed} {arch} {}", one.os, one.package, modules.join(" "))
    };
    advisory.affected.iter().map(told).collect()
}

const ADVISORY: &str = r#"{"document":{"category":"csaf_security_advisory","csaf_version":"2.0","title":"Red Hat Security Advisory: xz and redis:6 update",
  "publisher":{"name":"Red Hat Product Security"},"aggregate_severity":{"text":"Important"},
  "references":[{"category":"self","url":"https://vendor.example/RHSA-2026:9001"}],
  "tracking":{"id":"RHSA-2026:9001","status":"final","initial_release_date":"2026-01-06T09:00:00+00:00","current_release_date":"2026-01-07T09:00:00+00:00"}},
 "product_tree":{"branches":[{"branches":[
    {"product":{"product_id":"BaseOS-9","name":"BaseOS","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:9::baseos"}}},
    {"product":{"product_id":"JBoss","name":"JBoss","product_identification_helper":{"cpe":"cpe:/a:redhat:jboss:1"}}},
    {"product":{"product_id":"xz-1:5.2.5-8.el9.x86_64","name":"xz","product_identification_helper":{"purl":"pkg:rpm/redhat/xz@5.2.5-8.el9?arch=x86_64&epoch=1"}}},
    {"product":{"product_id":"xz-1:5.2.5-8.el9.src","name":"xz","product_identification_helper":{"purl":"pkg:rpm/redhat/xz@5.2.5-8.el9?arch=src"}}},
    {"product":{"product_id":"redis-0:6.2-1.module+el9.1+1+a.x86_64::redis:6","name":"redis"}}]}],
  "relationships":[
    {"product_reference":"xz-1:5.2.5-8.el9.x86_64","relates_to_product_reference":"BaseOS-9","full_product_name":{"product_id":"BaseOS-9:xz"}},
    {"product_reference":"xz-1:5.2.5-8.el9.src","relates_to_product_reference":"BaseOS-9","full_product_name":{"product_id":"BaseOS-9:xz.src"}},
    {"product_reference":"xz-1:5.2.5-8.el9.x86_64","relates_to_product_reference":"JBoss","full_product_name":{"product_id":"JBoss:xz"}},
    {"product_reference":"redis-0:6.2-1.module+el9.1+1+a.x86_64::redis:6","relates_to_product_reference":"BaseOS-9","full_product_name":{"product_id":"BaseOS-9:redis"}},
    {"product_reference":"loop","relates_to_product_reference":"loop","full_product_name":{"product_id":"loop"}}]},
 "vulnerabilities":[{"cve":"CVE-2026-90001","notes":[{"category":"description","text":"A hole."}],
   "scores":[{"cvss_v3":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","baseScore":9.8}},{"cvss_v3":{"vectorString":"nonsense"}}],
   "product_status":{"fixed":["BaseOS-9:xz","BaseOS-9:xz.src","JBoss:xz","BaseOS-9:redis","loop","absent"]},
   "remediations":[{"category":"vendor_fix","url":"https://vendor.example/errata/RHSA-2026:9001"}]}]}"#;

#[test]
fn builds_are_found_through_relationships() {
    let Converted { advisory, warnings } = parse(ADVISORY).unwrap();
    assert_eq!((advisory.id.as_str(), advisory.source.as_str()), ("RHSA-2026:9001", "redhat"));
    assert_eq!((advisory.kind, advisory.severity), (AdvisoryKind::Security, Severity::High));
    assert_eq!((advisory.summary.as_str(), advisory.details.as_str()), ("xz and redis:6 update", "A hole."));
    assert_eq!(advisory.cves, ["CVE-2026-90001"]);
    assert_eq!(
        fixes(&advisory),
        ["rhel:9 redis 6.2-1.module+el9.1+1+a x86_64 redis:6", "rhel:9 xz 1:5.2.5-8.el9 x86_64 "]
    );
    assert_eq!(warnings.len(), 4, "vector, product of no OS, loop, absent product: {warnings:?}");
}

#[test]
fn vex_states_affected_and_not_affected_products() {
    let text = ADVISORY
        .replace("\"id\":\"RHSA-2026:9001\"", "\"id\":\"CVE-2026-90001\"")
        .replace("csaf_security_advisory", "csaf_vex")
        .replace(
            r#""fixed":["BaseOS-9:xz","BaseOS-9:xz.src","JBoss:xz","BaseOS-9:redis","loop","absent"]"#,
            r#""known_affected":["BaseOS-9:redis"],"known_not_affected":["BaseOS-9:xz"]},"flags":[{"label":"component_not_present","product_ids":["BaseOS-9:xz"]}],"x":{"#,
        );
    let advisory = parse(&text).unwrap().advisory;
    assert_eq!((advisory.id.as_str(), advisory.source.as_str()), ("REDHAT-CVE-2026-90001", "redhat"));
    assert_eq!(advisory.related, ["RHSA-2026:9001"]);
    assert_eq!(fixes(&advisory), ["rhel:9 redis - x86_64 "]);
    let spared = &advisory.not_affected[0];
    assert_eq!((spared.package.as_str(), spared.reason.as_deref()), ("xz", Some("component_not_present")));
}

#[test]
fn deleted_and_superseded_documents_are_not_in_force() {
    let deleted =
        parse(r#"{"document":{"tracking":{"id":"CVE-2026-90001","status":"deleted"}}}"#).unwrap().advisory;
    assert_eq!((deleted.id.as_str(), deleted.is_undated), ("REDHAT-CVE-2026-90001", true));
    assert!(!deleted.is_in_force());
    let text = ADVISORY.replace("csaf_security_advisory", "csaf_superseded").replace(
        r#""references":["#,
        r#""references":[{"category":"external","summary":"Superseding Document: RHSA-2026:9002","url":"https://vendor.example/"},"#,
    );
    let superseded = parse(&text).unwrap().advisory;
    assert_eq!(superseded.superseded_by.as_deref(), Some("RHSA-2026:9002"));
    assert!(!superseded.is_in_force());
}

#[test]
fn text_that_is_not_a_document_is_refused() {
    let deep = format!(
        "{{\"document\":{{\"tracking\":{{\"id\":\"x\"}}}},\"product_tree\":{{\"branches\":{}",
        "[{\"branches\":".repeat(1000)
    );
    for text in [
        "",
        "{}",
        "[]",
        r#"{"document":{}}"#,
        r#"{"document":{"tracking":{"id":""}}}"#,
        r#"{"document":{"tracking":{"id":"x"}}}"#,
        r#"{"document":{"tracking":{"id":"x","initial_release_date":"yesterday"}}}"#,
        &deep,
    ] {
        assert!(parse(text).is_err(), "{}", &text[..text.len().min(80)]);
    }
}
