//! CVSS vectors: kept as written, and scored for a severity if the vendor states none.

use std::str::FromStr;

use ::cvss::Cvss;
use serde::{Deserialize, Serialize};

use crate::severity::Severity;

/// Longest accepted vector, in bytes; all metrics of version 4 need fewer than 200.
const MAX_VECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CvssVector {
    pub vector: String,
    /// 0.0 to 10.0: the base score; with version 4, which has one score, that of all metrics stated.
    pub score: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a CVSS vector of version 2.0, 3.0, 3.1 or 4.0")]
pub struct InvalidCvssVector(pub String);

impl CvssVector {
    /// The qualitative rating of the specification.
    pub fn severity(&self) -> Severity {
        match self.score {
            score if score >= 9.0 => Severity::Critical,
            score if score >= 7.0 => Severity::High,
            score if score >= 4.0 => Severity::Medium,
            score if score > 0.0 => Severity::Low,
            _ => Severity::None,
        }
    }
}

impl FromStr for CvssVector {
    type Err = InvalidCvssVector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || InvalidCvssVector(text.chars().take(80).collect());
        if text.len() > MAX_VECTOR_BYTES {
            return Err(refused());
        }
        let parsed: Cvss = text.parse().map_err(|_| refused())?;
        if !has_base_metrics(&parsed, text) {
            return Err(refused());
        }
        let score = parsed.score();
        if !(0.0..=10.0).contains(&score) {
            return Err(refused());
        }
        // Scores have one decimal; rounding also turns a negative zero into zero.
        Ok(Self { vector: text.to_owned(), score: (score * 10.0).round().abs() / 10.0 })
    }
}

/// The parser accepts vectors without some base metrics, for which no score is defined.
fn has_base_metrics(parsed: &Cvss, text: &str) -> bool {
    let required: &[&str] = match parsed {
        Cvss::CvssV20(_) => &["AV", "AC", "Au", "C", "I", "A"],
        Cvss::CvssV40(_) => &["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"],
        _ => &["AV", "AC", "PR", "UI", "S", "C", "I", "A"],
    };
    let stated = |metric: &&str| text.split('/').any(|part| part.split(':').next() == Some(*metric));
    required.iter().all(stated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_is_scored() {
        let vector: CvssVector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H".parse().unwrap();
        assert_eq!((vector.score, vector.severity()), (9.8, Severity::Critical));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "/", "CVSS:3.1/AV:N", "CVSS:9.9/AV:N/AC:L", "9.8", "CVSS:3.1/\0"] {
            assert!(text.parse::<CvssVector>().is_err(), "`{text}` was taken");
        }
    }
}
