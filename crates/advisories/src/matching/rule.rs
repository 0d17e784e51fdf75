//! The rules by which a fix is found to be missing.

use std::fmt;

use domain::compliance::MatchRule;

use crate::module_stream::ModuleStream;
use crate::version::Packaging;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The installed version is lower than the fixed one.
    Version(Packaging),
    /// The version of the source it was built from is lower than the fixed one.
    SourceVersion,
    /// As `Version`, and the fix was built for the module stream that the host follows.
    ModuleStream(ModuleStream),
    /// As `Version`; both are modular, and their streams may be the same, although host or feed does not name them.
    ModuleStreamUnproven,
}

impl Rule {
    /// The rule without its details, as it is stored.
    pub fn kind(&self) -> MatchRule {
        match self {
            Self::Version(Packaging::Rpm) => MatchRule::RpmVersion,
            Self::Version(Packaging::Dpkg) => MatchRule::DpkgVersion,
            Self::SourceVersion => MatchRule::DpkgSourceVersion,
            Self::ModuleStream(_) => MatchRule::RpmModuleStream,
            Self::ModuleStreamUnproven => MatchRule::RpmModuleStreamUnproven,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(packaging) => write!(f, "compared in {packaging} order"),
            Self::SourceVersion => f.write_str("source versions compared in dpkg order"),
            Self::ModuleStream(stream) => write!(f, "compared in rpm order within module stream {stream}"),
            Self::ModuleStreamUnproven => {
                f.write_str("compared in rpm order; both are modular, the stream is not named on both sides")
            }
        }
    }
}
