//! The basic enums of releases.

use crate::named::named_enum;

named_enum! {
    /// What a release fixes.
    ReleaseKind, "a release type" {
        Security => "security",
        BugFix => "bug_fix",
        Performance => "performance",
        Documentation => "documentation",
    }
}

named_enum! {
    /// How soon it must be deployed; the first is the most urgent.
    Urgency, "an urgency" { Critical => "critical", High => "high", Medium => "medium", Low => "low" }
}

named_enum! {
    /// The tiers in the order in which they are deployed to.
    Tier, "a tier" {
        /// The vendor's own installations. They come first, and a failure there stops the rollout.
        Demo => "demo",
        Startup => "startup",
        Standard => "standard",
        Enterprise => "enterprise",
    }
}
