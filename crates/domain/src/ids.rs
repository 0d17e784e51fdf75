//! Identifiers: each is its own type, parsed once where it enters and trusted afterwards.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{shown}` {reason}")]
pub struct InvalidId {
    kind: &'static str,
    shown: String,
    reason: &'static str,
}

impl InvalidId {
    fn new(kind: &'static str, text: &str, reason: &'static str) -> Self {
        let shown = text.chars().take(64).flat_map(char::escape_default).collect();
        Self { kind, shown, reason }
    }
}

/// Makes a text newtype that `$check` validates wherever it is read: parsing, JSON, YAML.
macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                $check(text.as_ref()).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Makes a UUID newtype; version 7 so that ids sort by creation time.
macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = Uuid))]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

text_id!(
    /// A configuration item. Host name (lower case, no final dot, `_` within a label) or IP literal, because the id of a
    /// host is also its name in Ansible's inventory; names and patterns that Ansible interprets are refused.
    CiId,
    check_ci_id
);
text_id!(
    /// A patch policy: a slug such as `policy-rhel9-baseline`.
    PolicyId,
    check_policy_id
);
text_id!(
    /// An ITSM change request, `CHG0000001`.
    ChangeId,
    check_change_id
);
text_id!(
    /// An advisory or CVE id as its vendor writes it: `RHSA-2024:0010`, `CVE-2026-90100`.
    AdvisoryId,
    check_advisory_id
);
text_id!(
    /// The person or program that a token belongs to: 1 to 100 of `a-z 0-9 . _ @ -`, a letter or digit first. There is one
    /// spelling of each, because separation of duties compares subjects.
    Subject,
    check_subject
);
text_id!(
    /// A unit of a host's service manager: `nginx`, `postgresql@15-main`, `php8.2-fpm.service`. Never an option, a path or a
    /// pattern, so that it can be an argument of `systemctl`.
    ServiceName,
    check_service_name
);
uuid_id!(
    /// One run.
    RunId
);
uuid_id!(
    /// One scan.
    ScanId
);

/// The name of a service as somebody wrote it. Plans and policies that were stored before names were checked read back
/// unchanged; whatever acts on a service parses it first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct GivenService(String);

impl GivenService {
    /// The service, or why the text cannot be the name of one.
    pub fn name(&self) -> Result<ServiceName, InvalidId> {
        ServiceName::new(&self.0)
    }
}

impl From<ServiceName> for GivenService {
    fn from(name: ServiceName) -> Self {
        Self(name.0)
    }
}

impl fmt::Display for GivenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_service_name(text: &str) -> Result<String, InvalidId> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "@._:-".contains(c);
    let valid = (1..=255).contains(&text.len()) && text.chars().all(is_part) && !text.starts_with(['-', '.']);
    if valid {
        Ok(text.to_owned())
    } else {
        let reason =
            "is not the name of a service: use 1 to 255 of `A-Z a-z 0-9 @ . _ : -`, no `-` or `.` first";
        Err(InvalidId::new("service", text, reason))
    }
}

fn check_ci_id(text: &str) -> Result<String, InvalidId> {
    let fail = |reason| Err(InvalidId::new("CI id", text, reason));
    if let Ok(address) = IpAddr::from_str(text) {
        return if address.is_loopback() || address.is_unspecified() {
            fail("is an address of the controller itself; use the address the host has for others")
        } else {
            Ok(address.to_string())
        };
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() || name.len() > 253 {
        return fail("must have 1 to 253 characters");
    }
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            // RFC 1123 has no `_`, but hosts in use have it, and Ansible and resolvers accept it within a label.
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with(['-', '_'])
            && !label.ends_with(['-', '_'])
    };
    if !name.split('.').all(label_is_valid) {
        return fail(
            "is not a host name (letters, digits, `-` and `_` within labels separated by `.`) or an IP address",
        );
    }
    // Groups of every run's inventory have the last two names.
    if matches!(name.as_str(), "all" | "ungrouped" | "localhost" | "packaging_rpm" | "packaging_dpkg") {
        return fail("is a reserved word of Ansible's inventory");
    }
    if name.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return fail("looks like an IP address but is not valid");
    }
    Ok(name)
}

fn check_policy_id(text: &str) -> Result<String, InvalidId> {
    let valid = (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if valid {
        Ok(text.to_owned())
    } else {
        Err(InvalidId::new("policy id", text, "must be 1 to 100 of `a-z 0-9 - _`, a letter or digit first"))
    }
}

fn check_subject(text: &str) -> Result<String, InvalidId> {
    let fail = |reason| Err(InvalidId::new("subject", text, reason));
    if text.contains(':') {
        return fail(
            "has a prefix such as `service:` or `schedule:`, which are reserved for the platform itself; leave it out",
        );
    }
    let is_valid = (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if is_valid {
        Ok(text.to_owned())
    } else {
        fail("must be 1 to 100 of `a-z 0-9 . _ @ -` in lower case, a letter or digit first")
    }
}

fn check_change_id(text: &str) -> Result<String, InvalidId> {
    let digits = text.strip_prefix("CHG").unwrap_or_default();
    if (7..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err(InvalidId::new("change id", text, "must be `CHG` and 7 to 12 digits"))
    }
}

fn check_advisory_id(text: &str) -> Result<String, InvalidId> {
    let valid = (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.' | b'/'))
        && text.as_bytes()[0].is_ascii_alphanumeric();
    if valid {
        Ok(text.to_owned())
    } else {
        Err(InvalidId::new("advisory id", text, "must be 1 to 100 of `A-Z a-z 0-9 - _ : . /`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_id_is_stored_in_one_spelling() {
        assert_eq!(CiId::new("WEB-01.").unwrap().as_str(), "web-01");
        assert_eq!(CiId::new("2001:DB8::1").unwrap().as_str(), "2001:db8::1");
        assert_eq!(CiId::new("Web_Legacy.example").unwrap().as_str(), "web_legacy.example");
    }

    #[test]
    fn subject_has_one_spelling_and_no_prefix_of_the_platform() {
        for text in ["olivia", "arjun@example.org", "ci-pipeline_2", "7of9"] {
            assert_eq!(Subject::new(text).unwrap().as_str(), text);
        }
        let long = "a".repeat(101);
        // The last ones look like `olivia` and are not.
        for text in [
            "",
            "Olivia",
            " olivia",
            "olivia ",
            "oli via",
            "service:platform",
            "schedule:p",
            "email:a@b.c",
            "template:monthly-baseline",
            "-o",
            ".",
            long.as_str(),
            "olivi\u{430}",
            "\u{43e}livia",
            "olivia\u{200b}",
        ] {
            assert!(Subject::new(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn service_is_never_an_option_a_path_or_a_pattern() {
        for text in ["nginx", "postgresql@15-main", "php8.2-fpm.service", "dbus-org.freedesktop.login1"] {
            assert_eq!(ServiceName::new(text).unwrap().as_str(), text);
        }
        let long = "a".repeat(256);
        for text in [
            "",
            "-H",
            "--host=evil",
            "--host=evil.service",
            ".",
            "../x",
            "/x",
            "a b",
            "a\n",
            "*",
            "a;b",
            "ｎginx",
            &long,
        ] {
            assert!(ServiceName::new(text).is_err(), "{text:?} was accepted");
            let stored = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<ServiceName>(&stored).is_err(), "{text:?} was read");
            // What was stored before is read and keeps its hash, but nothing can act on it.
            let given: GivenService = serde_json::from_str(&stored).unwrap();
            assert_eq!(serde_json::to_string(&given).unwrap(), stored);
            assert!(given.name().is_err(), "{text:?} was parsed");
        }
    }

    #[test]
    fn ci_id_refuses_what_ansible_would_interpret() {
        let long = "a".repeat(64);
        for text in [
            "",
            "all",
            "localhost",
            "127.0.0.1",
            "h[1:3]",
            "-o",
            "a b",
            "a\0b",
            "!h",
            "~.*",
            "_srv",
            "srv_",
            "a._b",
            "packaging_rpm",
            "1.2.3",
            long.as_str(),
        ] {
            assert!(CiId::new(text).is_err(), "{text:?} was accepted");
        }
    }
}
