//! Whether a host needs a reboot. Hosts report facts; this is the only place that judges them, before and after a boot.

use serde::{Deserialize, Serialize};

use crate::inventory::InstalledPackage;
use crate::matching::kernel::{self, KernelState, KernelUnknown, Running};
use crate::version::Packaging;

/// What a host reports of its kernel and of requests for a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebootFacts {
    /// As `uname -r` prints it.
    pub running_kernel: Option<String>,
    /// As `uname -v` prints it.
    pub running_build: Option<String>,
    /// The kind of container that the host is, such as `lxc`.
    pub container: Option<String>,
    /// The installed packages that may contain a kernel; `None` if the packages were not read.
    pub kernels: Option<Vec<InstalledKernel>>,
    /// The distribution's own marker, such as `/run/reboot-required`.
    pub marker: Option<Marker>,
    /// The answer of the package system's own tool (`needs-restarting -r`).
    pub needs_restarting: Option<NeedsRestarting>,
    /// Core packages that were installed after the boot, where the package system has no such tool.
    pub updated_since_boot: Vec<String>,
    /// A model host has no packages of a kernel and reports only this.
    pub reported: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledKernel {
    pub name: String,
    pub version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marker {
    pub path: String,
    /// The packages that asked for the reboot, if the marker names them.
    pub packages: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedsRestarting {
    Yes,
    No,
    /// The tool ended with an error of its own.
    Failed,
}

/// What asks for a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RebootCause {
    /// A newer kernel of the running flavour is installed.
    OldKernel {
        running: String,
        newest: String,
    },
    Marker(Marker),
    NeedsRestarting,
    UpdatedSinceBoot {
        packages: Vec<String>,
    },
    Reported,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RebootVerdict {
    Needed {
        causes: Vec<RebootCause>,
    },
    /// Nothing asks for one. A container runs the kernel of its own host, which is not judged here.
    NotNeeded {
        #[serde(skip_serializing_if = "Option::is_none")]
        container: Option<String>,
    },
    /// Nothing asks for a reboot, and nobody can say whether the newest kernel runs.
    Unknown {
        kernel: KernelUnknown,
    },
}

/// What a proven reboot achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterBoot {
    Done,
    /// Something still asks for a reboot. The host has had one, so this is a warning.
    StillRequested,
    /// The host came back with its old kernel: the fix of the newer one is not in effect.
    OldKernel,
}

/// Judges the facts of one host.
pub fn judge(packaging: Packaging, facts: &RebootFacts) -> RebootVerdict {
    let (old_kernel, unknown) = judge_kernel(packaging, facts);
    let mut causes: Vec<RebootCause> = old_kernel.into_iter().collect();
    causes.extend(facts.marker.clone().map(RebootCause::Marker));
    match facts.needs_restarting {
        Some(NeedsRestarting::Yes) => causes.push(RebootCause::NeedsRestarting),
        Some(NeedsRestarting::No) => {}
        Some(NeedsRestarting::Failed) | None if !facts.updated_since_boot.is_empty() => {
            causes.push(RebootCause::UpdatedSinceBoot { packages: facts.updated_since_boot.clone() });
        }
        Some(NeedsRestarting::Failed) | None => {}
    }
    match facts.reported {
        Some(true) => causes.push(RebootCause::Reported),
        Some(false) if causes.is_empty() => return RebootVerdict::NotNeeded { container: None },
        _ => {}
    }
    match unknown {
        _ if !causes.is_empty() => RebootVerdict::Needed { causes },
        Some(kernel) => RebootVerdict::Unknown { kernel },
        None => RebootVerdict::NotNeeded { container: facts.container.clone() },
    }
}

fn judge_kernel(packaging: Packaging, facts: &RebootFacts) -> (Option<RebootCause>, Option<KernelUnknown>) {
    if facts.container.is_some() {
        return (None, None);
    }
    let (Some(release), Some(kernels)) = (facts.running_kernel.as_deref(), &facts.kernels) else {
        return (None, Some(KernelUnknown::NotReported));
    };
    let packages: Vec<InstalledPackage> =
        kernels.iter().map(|kernel| InstalledPackage::new(&*kernel.name, &*kernel.version)).collect();
    let running = Running { release, build: facts.running_build.as_deref() };
    match kernel::state(packaging, running, &packages) {
        KernelState::Newest(_) => (None, None),
        KernelState::Outdated { newest, .. } => {
            let newest = format!("{} {}", newest.name, newest.version);
            (Some(RebootCause::OldKernel { running: release.to_owned(), newest }), None)
        }
        KernelState::Unknown(why) => (None, Some(why)),
    }
}

impl RebootVerdict {
    pub fn is_needed(&self) -> bool {
        matches!(self, Self::Needed { .. })
    }

    /// What the verdict means right after a boot whose id proves it.
    pub fn after_boot(&self) -> AfterBoot {
        match self {
            Self::Needed { causes }
                if causes.iter().any(|cause| matches!(cause, RebootCause::OldKernel { .. })) =>
            {
                AfterBoot::OldKernel
            }
            Self::Needed { .. } => AfterBoot::StillRequested,
            Self::NotNeeded { .. } | Self::Unknown { .. } => AfterBoot::Done,
        }
    }
}

impl std::fmt::Display for RebootVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Needed { causes } => {
                let causes: Vec<String> = causes.iter().map(ToString::to_string).collect();
                f.write_str(&causes.join("; "))
            }
            Self::NotNeeded { container: None } => f.write_str("nothing asks for a reboot"),
            Self::NotNeeded { container: Some(kind) } => write!(
                f,
                "nothing asks for a reboot; the host is a container ({kind}) and runs the kernel of its own host"
            ),
            Self::Unknown { kernel } => {
                write!(
                    f,
                    "nothing asks for a reboot, but whether the newest kernel runs is unknown: {kernel}"
                )
            }
        }
    }
}

impl std::fmt::Display for RebootCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OldKernel { running, newest } => {
                write!(f, "kernel {running} runs, and the newer `{newest}` is installed")
            }
            Self::Marker(Marker { path, packages }) if packages.is_empty() => {
                write!(f, "`{path}` asks for a reboot")
            }
            Self::Marker(Marker { path, packages }) => {
                write!(f, "`{path}` asks for a reboot, for {}", packages.join(", "))
            }
            Self::NeedsRestarting => f.write_str("`needs-restarting` asks for a reboot"),
            Self::UpdatedSinceBoot { packages } => {
                write!(f, "{} were updated after the boot", packages.join(", "))
            }
            Self::Reported => f.write_str("the host reports that it waits for a reboot"),
        }
    }
}
