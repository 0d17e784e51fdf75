//! The basic enums of releases.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Makes an enum whose names are the same on the wire, in files and on the command line.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub enum $name {
            $($(#[$doc])* $variant),+
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let text = text.replace('-', "_");
                Self::ALL.iter().copied().find(|word| word.name() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|word| format!("`{word}`")).collect();
                    format!("is not a {}; known are {}", $what, known.join(", "))
                })
            }
        }
    };
}

words! {
    /// What a release fixes.
    ReleaseKind, "release type" {
        Security = "security",
        BugFix = "bug_fix",
        Performance = "performance",
        Documentation = "documentation",
    }
}

words! {
    /// How soon it must be deployed; the first is the most urgent.
    Urgency, "urgency" { Critical = "critical", High = "high", Medium = "medium", Low = "low" }
}

words! {
    /// The tiers in the order in which they are deployed to.
    Tier, "tier" {
        /// The vendor's own installations. They come first, and a failure there stops the rollout.
        Demo = "demo",
        Startup = "startup",
        Standard = "standard",
        Enterprise = "enterprise",
    }
}
