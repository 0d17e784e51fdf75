//! Vendors' advisories and what they mean for a host.
//!
//! Readers turn advisory feeds into [`advisory::Advisory`]; [`inventory`] describes what a host has installed;
//! [`matching`] finds the advisories that a host lacks, under the packaging system's own version order. The crate
//! is pure: no clock, no network, no database. Time comes in as an argument, and bad input is an error or a
//! warning, never a panic.

pub mod version;

pub mod kernel_name;
pub mod module_stream;
pub mod os;
pub mod purl;
pub mod vers;

pub mod advisory;
pub mod cvss;
pub mod severity;

pub mod feed;

pub mod inventory;
pub mod matching;

pub mod compliance;
pub mod coverage;
pub mod month;
pub mod reboot;
pub mod sla;

pub use advisory::{Advisory, AdvisoryKind, AffectedPackage, PackageKind};
pub use coverage::{Coverage, CoverageGap};
pub use inventory::{HostFacts, InstalledPackage, Inventory, UnreadPackage};
pub use matching::{Index, Match, match_host};
pub use month::Month;
pub use os::{Distribution, OsRelease, nearest_releases, os_key};
pub use severity::Severity;
pub use version::{InvalidVersion, Packaging, Version, compare};
