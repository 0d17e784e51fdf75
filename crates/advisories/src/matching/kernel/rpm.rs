//! Kernels of rpm systems: one package name per flavour, installed in several versions.

use crate::inventory::InstalledPackage;
use crate::version::{Packaging, Version};

use super::{Found, Installed, KernelUnknown, newest_of, no_package};

const ARCHITECTURES: [&str; 8] =
    ["x86_64", "aarch64", "ppc64le", "ppc64", "s390x", "i686", "riscv64", "loongarch64"];

/// Packages whose kernels have no mark of a flavour in their name, the most specific first: if both are installed, `kernel` is
/// only a name for `kernel-core`.
const UNMARKED: [&str; 8] = [
    "kernel-core",
    "kernel",
    "kernel-ml-core",
    "kernel-ml",
    "kernel-lt-core",
    "kernel-lt",
    "raspberrypi2-kernel4",
    "raspberrypi-kernel4",
];

pub(super) fn find<'a>(release: &str, packages: &'a [InstalledPackage]) -> Found<'a> {
    let running = Running::parse(release);
    let kernels: Vec<Installed<'a>> = packages
        .iter()
        .filter(|package| running.may_be(&package.name))
        .filter_map(|package| Installed::of(package, Packaging::Rpm))
        .collect();
    let rank = |item: &&Installed<'_>| running.rank(&item.package.name);
    let runs = |item: &&Installed<'_>| running.is_version(&item.package.version);
    let current = kernels.iter().filter(runs).min_by_key(rank).cloned().map(Box::new);
    // The running package, or the most specific installed one of the flavour if the running one has been removed.
    let Some(named) = current.as_deref().or_else(|| running.likely(&kernels)) else {
        return no_package(release);
    };
    let name = named.package.name.as_str();
    let Some(newest) = newest_of(kernels.iter().filter(|item| item.package.name == name)) else {
        return no_package(release);
    };
    match current {
        Some(current) if current.version < newest.version => {
            Found::Outdated { running: Some(current), newest }
        }
        Some(current) => Found::Newest(current),
        None if Version::parse(Packaging::Rpm, running.version)
            .is_ok_and(|version| version < without_epoch(&newest)) =>
        {
            Found::Outdated { running: None, newest }
        }
        None => Found::Unknown(KernelUnknown::NotInstalled { running: release.to_owned() }),
    }
}

/// `uname -r` names no epoch.
fn without_epoch(item: &Installed<'_>) -> Version {
    Version::parse(Packaging::Rpm, bare(&item.package.version)).unwrap_or_else(|_| item.version.clone())
}

fn bare(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// Amazon Linux names its newer lines after the version: `kernel6.12`.
fn line_of(name: &str) -> Option<&str> {
    let line = name.strip_prefix("kernel")?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (line.contains('.') && line.split('.').all(is_number)).then_some(line)
}

/// A name from `uname -r`, in its parts.
struct Running<'a> {
    version: &'a str,
    /// Its mark, such as `rt`, `64k`, `64k-debug` or SUSE's `default`; empty without one.
    mark: &'a str,
    /// SUSE's names have no architecture, and its packages' releases have one number more than the kernel reports.
    is_suse: bool,
    /// The packages that contain kernels with this mark, the most specific first; empty for kernels without a mark.
    names: Vec<String>,
}

impl<'a> Running<'a> {
    /// `5.14.0-70.13.1.el9_0.x86_64+rt` is version `5.14.0-70.13.1.el9_0`, mark `rt`; `3.10.0-1160.el7.x86_64.debug` has
    /// the mark `debug`; `5.3.18-59.37-default` is `5.3.18-59.37`, mark `default`.
    fn parse(release: &'a str) -> Self {
        let at_architecture = ARCHITECTURES.iter().find_map(|architecture| {
            let (version, rest) = release.split_once(&format!(".{architecture}"))?;
            (rest.is_empty() || rest.starts_with(['+', '.']))
                .then(|| (version, rest.trim_start_matches(['+', '.'])))
        });
        let is_mark = |mark: &str| mark == "64kb" || mark.starts_with(|c: char| c.is_ascii_lowercase());
        let (version, mark, is_suse) = match (at_architecture, release.rsplit_once('-')) {
            (Some((version, mark)), _) => (version, mark, false),
            (None, Some((version, mark))) if version.contains('-') && is_mark(mark) => (version, mark, true),
            _ => (release, "", false),
        };
        let running = Self { version, mark, is_suse, names: Vec::new() };
        Self { names: running.marked_names(), ..running }
    }

    fn marked_names(&self) -> Vec<String> {
        let mark = self.mark;
        let line = match (self.is_uek(), self.is_versioned_rt()) {
            (true, _) => "kernel-uek",
            (false, true) => "kernel-rt",
            (false, false) if mark.is_empty() => return Vec::new(),
            (false, false) => "kernel",
        };
        match mark {
            "" => vec![format!("{line}-core"), line.to_owned()],
            _ if self.is_suse => vec![format!("{line}-{mark}"), format!("{line}-{mark}-base")],
            // Oracle writes `kernel-uek64k`.
            _ => vec![
                format!("{line}-{mark}-core"),
                format!("{line}{mark}-core"),
                format!("{line}-{mark}"),
                format!("{line}{mark}"),
            ],
        }
    }

    fn is_uek(&self) -> bool {
        self.version.ends_with("uek")
    }

    /// Before release 9.3, the version of a real-time kernel names it: `4.18.0-553.rt7.342.el8_10`.
    fn is_versioned_rt(&self) -> bool {
        self.version.split(['.', '-']).any(|part| {
            part.strip_prefix("rt").is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        })
    }

    /// The place of this package name among those that contain this flavour's kernel; `None` if it never does.
    fn place(&self, name: &str) -> Option<usize> {
        if self.names.is_empty() {
            let place = UNMARKED.iter().position(|known| *known == name);
            return place.or_else(|| line_of(name).map(|_| UNMARKED.len()));
        }
        self.names.iter().position(|known| known == name)
    }

    fn may_be(&self, name: &str) -> bool {
        (name.starts_with("kernel") || name.starts_with("raspberrypi")) && self.place(name).is_some()
    }

    fn rank(&self, name: &str) -> usize {
        self.place(name).unwrap_or(usize::MAX)
    }

    /// The package that most likely brought the running kernel, of which no installed package has the version. A kernel of
    /// ELRepo may be of either of two lines.
    fn likely<'i, 'p>(&self, kernels: &'i [Installed<'p>]) -> Option<&'i Installed<'p>> {
        let mut likely = kernels.iter().filter(|item| self.may_have_been(&item.package.name));
        let first = likely.clone().min_by_key(|item| self.rank(&item.package.name))?;
        let is_mainline = |item: &Installed<'_>| item.package.name.starts_with("kernel-ml");
        likely.all(|item| is_mainline(item) == is_mainline(first)).then_some(first)
    }

    /// Whether this package, in another version, may have contained the running kernel.
    fn may_have_been(&self, name: &str) -> bool {
        if !self.names.is_empty() {
            return true;
        }
        if self.version.ends_with(".elrepo") {
            return name.starts_with("kernel-ml") || name.starts_with("kernel-lt");
        }
        match line_of(name) {
            Some(line) => self.version.strip_prefix(line).is_some_and(|rest| rest.starts_with('.')),
            None if self.version.contains(".v8.") => name.starts_with("raspberrypi"),
            None => matches!(name, "kernel-core" | "kernel"),
        }
    }

    fn is_version(&self, installed: &str) -> bool {
        let installed = bare(installed);
        installed == self.version
            || self.is_suse && installed.strip_prefix(self.version).is_some_and(|rest| rest.starts_with('.'))
    }
}
