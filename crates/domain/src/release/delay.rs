//! Delays as people write them: `15m`, `2h`, `next_window`.

use std::{fmt, str::FromStr};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// How long after the demo wave a tier starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Delay {
    Minutes(u32),
    /// When the customer's own window opens.
    NextWindow,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a delay, write it like `15m`, `2h`, `3d` (at most 60 days) or `next_window`")]
pub struct InvalidDelay(String);

impl Delay {
    pub fn span(self) -> TimeDelta {
        match self {
            Self::Minutes(minutes) => TimeDelta::minutes(i64::from(minutes)),
            Self::NextWindow => TimeDelta::zero(),
        }
    }
}

impl FromStr for Delay {
    type Err = InvalidDelay;

    fn from_str(text: &str) -> Result<Self, InvalidDelay> {
        let wrong = || InvalidDelay(text.chars().take(40).collect());
        if text == "next_window" {
            return Ok(Self::NextWindow);
        }
        let unit = match text.chars().last() {
            Some('m') => 1,
            Some('h') => 60,
            Some('d') => 1440,
            _ => return Err(wrong()),
        };
        let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        number.checked_mul(unit).filter(|minutes| *minutes <= 60 * 1440).map(Self::Minutes).ok_or_else(wrong)
    }
}

crate::string_conversions!(Delay);

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NextWindow => "next_window".to_owned(),
            Self::Minutes(minutes) if *minutes >= 1440 && minutes % 1440 == 0 => {
                format!("{}d", minutes / 1440)
            }
            Self::Minutes(minutes) if *minutes >= 60 && minutes % 60 == 0 => format!("{}h", minutes / 60),
            Self::Minutes(minutes) => format!("{minutes}m"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read_back_as_they_were_written() {
        for text in ["0m", "15m", "90m", "2h", "3d", "next_window"] {
            assert_eq!(text.parse::<Delay>().unwrap().to_string(), text);
        }
        for text in ["", "h", "15", "-1h", "61d", "1.5h", "15 m", "é"] {
            assert!(text.parse::<Delay>().is_err(), "{text:?} was taken");
        }
    }
}
