//! Customers, as an operator describes them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{health::Baseline, kinds::Tier, version::Version};
use crate::{
    ids::CiId,
    selector::Tags,
    text::{has_hidden, without_secrets},
    time::{MaintenanceWindow, MaintenanceWindowFields, Opening, Overrun, Tz, WindowError},
};

/// A customer: where the product runs for them, when it may be changed, and how its health is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Customer {
    /// `acme-corp`.
    pub slug: CiId,
    pub name: String,
    pub tier: Tier,
    /// IANA name; windows are in this time zone.
    #[serde(default = "utc")]
    #[cfg_attr(feature = "schema", schema(value_type = String, example = "Europe/Berlin"))]
    pub time_zone: Tz,
    /// When the customer may be deployed to, if the release's type requires windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<CustomerWindow>,
    /// Whether every release except a critical one is limited to the windows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub always_in_windows: bool,
    /// E-mail addresses, and webhooks as URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    pub health: HealthSource,
    pub deployer: Deployer,
    /// Its health values when it is healthy; absent: measured right before a deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    pub current_version: Version,
    /// It is never deployed above this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_to: Option<Version>,
    /// If present, it is left out of every rollout; the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Matched by freeze calendars.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A window in the customer's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CustomerWindow {
    #[cfg_attr(feature = "schema", schema(schema_with = super::schema::opening))]
    pub opens: Opening,
    pub duration_minutes: u32,
    #[serde(default)]
    pub cutoff_minutes: u32,
}

/// How a version is deployed to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Deployer {
    /// The customer with the same slug in the sim-engine.
    Sim,
    /// A signed POST; the receiver reports the outcome with a callback.
    Webhook { url: String },
    /// The playbook `deploy-release` on this host.
    Playbook {
        address: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Public host key: `ssh-ed25519 AAAA...`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_key: Option<String>,
    },
}

/// Where a customer's health is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum HealthSource {
    /// The customer with the same slug in the sim-engine.
    Sim,
    /// An endpoint that answers JSON.
    Http { url: String },
    /// A Prometheus server: `up` must be above 0; the other queries return one number each.
    Prometheus {
        url: String,
        up: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_rate: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latency_ms: Option<String>,
    },
}

impl Customer {
    /// Hides what readers without a right to change the customer must not see: parts of addresses that may be secrets.
    pub fn hide_secrets(&mut self) {
        for contact in &mut self.contacts {
            *contact = without_secrets(contact).into_owned();
        }
        if let HealthSource::Http { url } | HealthSource::Prometheus { url, .. } = &mut self.health {
            *url = without_secrets(url).into_owned();
        }
        if let Deployer::Webhook { url } = &mut self.deployer {
            *url = without_secrets(url).into_owned();
        }
    }

    /// The windows in the customer's time zone.
    pub fn maintenance_windows(&self) -> Result<Vec<MaintenanceWindow>, WindowError> {
        let window = |window: &CustomerWindow| {
            MaintenanceWindow::try_from(MaintenanceWindowFields {
                opens: window.opens.clone(),
                duration_minutes: window.duration_minutes,
                time_zone: self.time_zone,
                cutoff_minutes: window.cutoff_minutes,
                overrun: Overrun::StopNew,
            })
        };
        self.windows.iter().map(window).collect()
    }

    /// When it may be deployed to: now, or when the first of its windows opens; `None` if none ever opens.
    pub fn next_start(windows: &[MaintenanceWindow], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        windows.iter().filter_map(|window| window.next_start(now)).min()
    }

    /// Errors beyond the shape of single fields: JSON pointer and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |wrong: bool, pointer: &str, reason: &str| {
            if wrong {
                faults.push((pointer.to_owned(), reason.to_owned()));
            }
        };
        let is_text = |text: &str, most: usize| {
            !text.trim().is_empty() && text.chars().count() <= most && !has_hidden(text)
        };
        check(
            !is_text(&self.name, 200),
            "/name",
            "must have 1 to 200 characters, none of them invisible or changing the direction of writing",
        );
        check(
            self.name.contains(','),
            "/name",
            "must not contain a comma: lists of customers are comma-separated",
        );
        check(self.contacts.len() > 20, "/contacts", "must be at most 20");
        check(
            self.contacts.iter().any(|contact| !is_text(contact, 500)),
            "/contacts",
            "must have 1 to 500 characters each",
        );
        check(self.windows.len() > 20, "/windows", "must be at most 20");
        check(self.tags.len() > 50, "/tags", "must be at most 50");
        check(
            self.paused.as_ref().is_some_and(|why| !is_text(why, 500)),
            "/paused",
            "must say why in 1 to 500 characters",
        );
        check(
            self.always_in_windows && self.windows.is_empty(),
            "/windows",
            "must name a window: with `always_in_windows` no release could ever be deployed",
        );
        let queries = match &self.health {
            HealthSource::Prometheus { up, error_rate, latency_ms, .. } => {
                std::iter::once(up).chain(error_rate).chain(latency_ms).collect()
            }
            _ => Vec::new(),
        };
        check(
            queries.iter().any(|query| !is_text(query, 2000)),
            "/health",
            "must have queries of 1 to 2000 characters",
        );
        if let Some(reason) = self.baseline.as_ref().and_then(Baseline::fault) {
            faults.push(("/baseline".to_owned(), reason));
        }
        if let Err(error) = self.maintenance_windows() {
            faults.push(("/windows".to_owned(), error.to_string()));
        }
        faults
    }
}

fn utc() -> Tz {
    Tz::UTC
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
