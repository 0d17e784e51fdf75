//! One scale for the severities that vendors name differently.

use std::fmt;
use std::str::FromStr;

use domain::compliance;
use serde::{Deserialize, Serialize};

/// Ordered from harmless to urgent; `Unknown` sorts first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    #[default]
    Unknown,
    None,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl From<Severity> for compliance::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Unknown => Self::Unknown,
            Severity::None => Self::None,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Red Hat and its rebuilds use important and moderate, Ubuntu negligible, CVSS and the others high and medium.
impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "critical" => Ok(Self::Critical),
            "important" | "high" => Ok(Self::High),
            "moderate" | "medium" => Ok(Self::Medium),
            "low" | "minor" | "negligible" => Ok(Self::Low),
            "none" => Ok(Self::None),
            "unknown" | "untriaged" => Ok(Self::Unknown),
            _ => Err(UnknownSeverity(text.chars().take(40).collect())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a severity; use `critical`, `high`, `medium`, `low` or `none`")]
pub struct UnknownSeverity(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_of_all_vendors_map_to_one_scale() {
        assert_eq!("Important".parse(), Ok(Severity::High));
        assert_eq!("moderate".parse(), Ok(Severity::Medium));
        assert_eq!("negligible".parse(), Ok(Severity::Low));
        assert!("urgent!".parse::<Severity>().is_err());
        assert!(Severity::Critical > Severity::High && Severity::None > Severity::Unknown);
    }
}
