//! The names of the strategies: in which order and how many at once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Strategy {
    /// All at once.
    #[serde(rename = "bigbang")]
    BigBang,
    /// One after the other.
    #[default]
    Rolling,
    /// In batches of `max_parallel`.
    BatchRolling,
    /// One of each service first, then the rest.
    Canary,
    /// A whole second set, then a switch.
    #[serde(rename = "bluegreen")]
    BlueGreen,
    /// Dependencies before their dependents.
    DepGreedy,
    /// By risk, incompatible hosts together.
    Hybrid,
}

impl Strategy {
    pub const ALL: [Self; 7] = [
        Self::BigBang,
        Self::Rolling,
        Self::BatchRolling,
        Self::Canary,
        Self::BlueGreen,
        Self::DepGreedy,
        Self::Hybrid,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::BigBang => "bigbang",
            Self::Rolling => "rolling",
            Self::BatchRolling => "batch_rolling",
            Self::Canary => "canary",
            Self::BlueGreen => "bluegreen",
            Self::DepGreedy => "dep_greedy",
            Self::Hybrid => "hybrid",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "strategy `{0}` is unknown; known are bigbang, rolling, batch_rolling, canary, bluegreen, dep_greedy, hybrid"
)]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        let known = Self::ALL.into_iter().find(|strategy| strategy.name() == text);
        known.ok_or_else(|| UnknownStrategy(text.chars().take(40).collect()))
    }
}
