//! Ends of chains that the services exported, compared with the chains of today.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api_client::access::AccessClient;
use api_types::rights::SERVICES;
use service_kit::audit_export::{PublicKey, SignedHead};

use crate::input;
use terminal::Failure;
use terminal::note;

/// Positions that one request asks for.
const AT_ONCE: usize = 100;

#[derive(Default)]
pub struct ExportedHeads {
    /// Of each service by position, and by time if one was exported several times.
    heads: BTreeMap<String, Vec<SignedHead>>,
    faults: Vec<String>,
}

impl ExportedHeads {
    /// Reads the lines with ends. Those whose signature does not fit are faults and are not compared.
    pub fn read(files: &[PathBuf], keys: &[PublicKey]) -> Result<Self, Failure> {
        let mut exported = Self::default();
        for file in files {
            exported.add(file, &input::read_text(file)?, keys)?;
        }
        for heads in exported.heads.values_mut() {
            heads.sort_by_key(|head| (head.position, head.at));
        }
        Ok(exported)
    }

    fn add(&mut self, file: &Path, text: &str, keys: &[PublicKey]) -> Result<(), Failure> {
        let mut found = 0;
        for (line, number) in text.lines().zip(1..) {
            let Some(head) = SignedHead::find(line) else { continue };
            found += 1;
            if keys.iter().any(|key| head.is_signed_by(key)) {
                self.heads.entry(head.service.clone()).or_default().push(head);
            } else {
                self.faults.push(format!(
                    "`{}`, line {number}: the signature does not fit the end of the chain of {} and the given key",
                    file.display(),
                    head.service
                ));
            }
        }
        if found == 0 {
            return Err(Failure::new(format!(
                "`{}` contains no exported end of an audit chain",
                file.display()
            )));
        }
        Ok(())
    }

    /// Lines that prove nothing.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The first exported end that the chain of a service does not contain.
    pub async fn first_difference(
        &self,
        client: &AccessClient,
        service: &str,
    ) -> Result<Option<String>, Failure> {
        let heads = self.heads.get(service).map(Vec::as_slice).unwrap_or_default();
        let mut last_that_fits = None;
        for some in heads.chunks(AT_ONCE) {
            let mut positions: Vec<i64> = some.iter().map(|head| head.position).collect();
            positions.dedup();
            let hashes = client.list_audit_hashes(&positions).await?;
            let hashes: BTreeMap<i64, String> =
                hashes.into_iter().map(|one| (one.position, one.hash)).collect();
            for head in some {
                match hashes.get(&head.position) {
                    Some(hash) if *hash == head.hash => last_that_fits = Some(head),
                    found => return Ok(Some(difference(head, found.is_some(), last_that_fits))),
                }
            }
        }
        Ok(None)
    }

    /// Reports how many ends were compared, and of which service there is none.
    pub fn note_coverage(&self) {
        if self.heads.is_empty() {
            return;
        }
        let count: usize = self.heads.values().map(Vec::len).sum();
        note(&format!("{count} exported ends were compared"));
        for service in SERVICES.iter().filter(|service| !self.heads.contains_key(**service)) {
            note(&format!(
                "the files contain no end of the chain of {service}: nothing is known about its newest records"
            ));
        }
    }
}

fn difference(head: &SignedHead, has_position: bool, last_that_fits: Option<&SignedHead>) -> String {
    let SignedHead { service, position, at, .. } = head;
    let what = if has_position {
        "has another hash there: records up to it were changed, or removed and written again"
    } else {
        "ends before it: its newest records were removed"
    };
    let known = match last_that_fits {
        Some(fits) => format!("position {} of {} still fits", fits.position, fits.at),
        None => "no earlier exported end fits".to_owned(),
    };
    format!("the chain of {service} was exported at position {position} on {at} and {what}; {known}")
}
