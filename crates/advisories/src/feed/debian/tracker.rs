//! The security tracker's `data/json`: source, then CVE, then release. It is about 60 MB, so only one source at a
//! time is in memory; a CVE of several sources comes in parts.

use std::collections::BTreeMap;
use std::io::BufRead;

use domain::compliance::NoFix;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::advisory::{Advisory, NotAffected};
use crate::feed::budget::Budget;
use crate::feed::osv::{Converted, Sink, deliver};
use crate::feed::text::{clean, is_package_name, shown};
use crate::feed::{FeedError, Limits, ReadReport, RecordError, is_cve_id};
use crate::severity::Severity;
use crate::version::{Packaging, Version};

use super::{release, source_fix};

#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    description: String,
    #[serde(default)]
    releases: BTreeMap<String, State>,
}

#[derive(Deserialize)]
struct State {
    status: String,
    fixed_version: Option<String>,
    urgency: Option<String>,
    /// Why there is no advisory.
    nodsa: Option<String>,
    nodsa_reason: Option<String>,
}

impl State {
    fn no_fix(&self) -> NoFix {
        let urgency = self.urgency.as_deref().unwrap_or_default();
        match (urgency, self.status.as_str(), self.nodsa_reason.as_deref()) {
            ("end-of-life", ..) => NoFix::EndOfLife,
            (_, "undetermined", _) => NoFix::UnderInvestigation,
            (.., Some("postponed")) => NoFix::Postponed,
            (.., Some("ignored")) => NoFix::NotPlanned,
            _ if self.nodsa.is_some() || urgency == "unimportant" => NoFix::Minor,
            _ => NoFix::Open,
        }
    }
}

pub fn read(source: impl BufRead, limits: &Limits, sink: Sink<'_>) -> Result<ReadReport, FeedError> {
    // The kernel's entry is by far the largest of all.
    let budget = Budget::new(limits.csaf_bytes);
    let mut tracker = Tracker { limits, budget: &budget, report: ReadReport::default(), sink };
    let mut json = serde_json::Deserializer::from_reader(budget.of(source));
    let outcome = (&mut json).deserialize_map(&mut tracker);
    let report = tracker.report;
    match outcome {
        Ok(()) => Ok(report),
        Err(_) if report.stopped => Ok(report),
        Err(error) => {
            Err(FeedError::Malformed(format!("the tracker's data cannot be read further: {error}")))
        }
    }
}

struct Tracker<'a> {
    limits: &'a Limits,
    budget: &'a Budget,
    report: ReadReport,
    sink: Sink<'a>,
}

impl<'de> Visitor<'de> for &mut Tracker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sources and their issues")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(source) = map.next_key::<String>()? {
            let raw = map.next_value::<Box<RawValue>>()?;
            if self.read_source(&source, &raw).is_break() {
                self.report.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
            self.budget.refill();
        }
        Ok(())
    }
}

impl Tracker<'_> {
    fn read_source(&mut self, source: &str, raw: &RawValue) -> std::ops::ControlFlow<()> {
        let issues: BTreeMap<String, Box<RawValue>> = match serde_json::from_str(raw.get()) {
            Ok(issues) if is_package_name(source) => issues,
            Ok(_) => return self.refuse(source, "it is not a package name".to_owned()),
            Err(error) => return self.refuse(source, error.to_string()),
        };
        for (cve, issue) in issues {
            // `TEMP-...` are placeholders that change with each release of the data.
            if cve.starts_with("TEMP-") {
                continue;
            }
            let name = format!("{}/{}", shown(source), shown(&cve));
            let outcome = serde_json::from_str::<Issue>(issue.get())
                .map_err(|error| error.to_string())
                .and_then(|issue| convert(source, &cve, issue, self.limits))
                .map_err(|reason| RecordError::new(name.as_str(), reason));
            deliver(outcome, &name, self.limits, &mut self.report, self.sink)?;
        }
        std::ops::ControlFlow::Continue(())
    }

    fn refuse(&mut self, source: &str, reason: String) -> std::ops::ControlFlow<()> {
        let name = shown(source);
        let refused = Err(RecordError::new(name.as_str(), reason));
        deliver(refused, &name, self.limits, &mut self.report, self.sink)
    }
}

fn convert(source: &str, cve: &str, issue: Issue, limits: &Limits) -> Result<Converted, String> {
    if !is_cve_id(cve) {
        return Err("it is not a CVE id".to_owned());
    }
    let mut warnings = Vec::new();
    let mut advisory = Advisory {
        source: "debian".to_owned(),
        cves: vec![cve.to_owned()],
        summary: format!("{cve} in {source}"),
        details: clean(issue.description, "description", &mut warnings),
        is_part: true,
        is_undated: true,
        ..Advisory::new(format!("DEBIAN-{cve}"), limits.now.unwrap_or_default())
    };
    for (suite, state) in issue.releases {
        let Some(os) = release(&suite) else { continue };
        advisory.severity = advisory.severity.max(severity(state.urgency.as_deref().unwrap_or_default()));
        match (state.status.as_str(), state.fixed_version.as_deref()) {
            // The vulnerable code never was in that release.
            ("resolved", Some("0")) => advisory.not_affected.push(NotAffected {
                os,
                package: source.to_owned(),
                version: None,
                reason: None,
            }),
            ("resolved", Some(fixed)) => match Version::parse(Packaging::Dpkg, fixed) {
                Ok(_) => advisory.affected.push(source_fix(os, source, Ok(fixed))),
                Err(error) => warnings.push(format!("{error}; this fix of `{source}` is not matched")),
            },
            ("open" | "undetermined", _) => {
                advisory.affected.push(source_fix(os, source, Err(state.no_fix())));
            }
            _ => {}
        }
    }
    Ok(Converted { advisory, warnings })
}

/// `low**` is a guessed rating.
fn severity(urgency: &str) -> Severity {
    match urgency.trim_end_matches('*') {
        "unimportant" => Severity::Low,
        other => other.parse().unwrap_or_default(),
    }
}
