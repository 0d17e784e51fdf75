//! Compliance of hosts: statuses, states of packages, severities and rules of matching, with their stored names.

use crate::named::named_enum;

named_enum! {
    /// Ordered from good to bad: the status of several policies together is their maximum.
    ComplianceStatus, "a compliance status" {
        Compliant = 0 => "compliant",
        NonCompliant = 2 => "non_compliant",
        /// Nothing can be said; the cause tells why.
        Unknown = 1 => "unknown",
    }
}

named_enum! {
    /// Why the status of a host is unknown.
    UnknownCause, "a cause of an unknown status" {
        NeverScanned => "never_scanned",
        /// The last scan is too old to rely on.
        ScanTooOld => "scan_too_old",
        /// No imported feed has an advisory of the host's release.
        NotCovered => "not_covered",
        /// The vendor publishes no fixes for the release any more.
        OutOfSupport => "out_of_support",
        /// The feeds of the release were imported too long ago.
        FeedTooOld => "feed_too_old",
        /// Some packages of the host could not be read.
        PartlyRead => "partly_read",
    }
}

named_enum! {
    /// What the imported feeds say of a release; ordered from good to bad.
    CoverageState, "a state of coverage" {
        Covered => "covered",
        /// Imported longer ago than a policy or the default allows.
        FeedTooOld => "feed_too_old",
        /// The vendor publishes no fixes any more.
        OutOfSupport => "out_of_support",
        NotCovered => "not_covered",
    }
}

named_enum! {
    PatchStateOfPackage, "a patch state" {
        Missing => "missing",
        /// The package is held back on the host.
        Held => "held",
        /// Installed, but the host still runs the old version.
        PendingReboot => "pending_reboot",
        /// Excepted until the exception expires. The due date stays.
        Excepted => "excepted",
    }
}

named_enum! {
    /// Ordered from harmless to urgent.
    #[cfg_attr(feature = "schema", schema(as = AdvisorySeverity))]
    Severity, "a severity" {
        None => "none",
        /// The source gives none: it may be any.
        Unknown => "unknown",
        Low => "low",
        Medium => "medium",
        High => "high",
        Critical => "critical",
    }
}

named_enum! {
    /// The kind of a notice.
    Classification, "a kind of notices" {
        Security => "security",
        Bugfix => "bugfix",
        Enhancement => "enhancement",
    }
}

named_enum! {
    /// The rule by which a fix was found to be missing.
    MatchRule, "a rule of matching" {
        /// The installed version is lower than the fixed one.
        RpmVersion => "rpm-version",
        DpkgVersion => "dpkg-version",
        /// The version of the source is lower than the fixed one.
        DpkgSourceVersion => "dpkg-source-version",
        /// The fix was built for the module stream that the host follows.
        RpmModuleStream => "rpm-module-stream",
        /// Both are modular and their streams may be the same.
        RpmModuleStreamUnproven => "rpm-module-stream-unproven",
    }
}

named_enum! {
    /// What a vendor says of a vulnerability that it has not fixed in a release.
    NoFix, "a state of a vulnerability without a fix" {
        /// Affected; the vendor says no more.
        Open => "open",
        UnderInvestigation => "under_investigation",
        /// Too small for an advisory of its own; a later update of the package may fix it.
        Minor => "minor",
        Postponed => "postponed",
        NotPlanned => "not_planned",
        /// The release or the package gets no fixes any more.
        EndOfLife => "end_of_life",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_status_is_the_maximum() {
        use ComplianceStatus::*;
        assert_eq!([Compliant, NonCompliant, Unknown].into_iter().max(), Some(NonCompliant));
        assert_eq!([Compliant, Unknown, Compliant].into_iter().max(), Some(Unknown));
        assert!(Severity::Critical > Severity::High && Severity::Low > Severity::Unknown);
        assert!(Severity::Unknown > Severity::None);
    }

    #[test]
    fn stored_names_are_those_of_the_wire_and_unknown_ones_are_errors() {
        for rule in MatchRule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
            assert_eq!(rule.name().parse(), Ok(rule));
        }
        assert!(serde_json::from_str::<ComplianceStatus>("\"fine\"").is_err());
        assert_eq!(
            "mauve".parse::<Severity>().unwrap_err(),
            "is not a severity; known are `none`, `unknown`, `low`, `medium`, `high`, `critical`"
        );
    }
}
