//! Inventories as tab-separated lines, the form that `rpm -qa` and `dpkg-query -W` print with a query format.

use std::io::BufRead;

use crate::feed::{FeedError, RecordError};
use crate::inventory::{InstalledPackage, MAX_PACKAGES, ReadInventory};
use crate::version::{Nevra, Packaging, Version};

use crate::feed::lines::{Line, read_line};

const LINE_BYTES: u64 = 16 * 1024;

/// Reads an inventory. A first line that starts with `#` names the columns: `name`, `installed` (or `version`), and
/// where known `candidate_from_package_manager` (or `candidate`), `arch`, `modularity`, `source`, `source_version`,
/// `status` and `vendor`; other columns are skipped. Without it the columns are those of
/// `dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${db:Status-Abbrev}\n'`, or
/// of `rpm -qa --qf '%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{MODULARITYLABEL}\t%{VENDOR}\n'`, of
/// which the vendor may be absent. rpm writes
/// unknown values as `(none)`, which is read as absent.
pub fn read_tsv(mut source: impl BufRead, packaging: Packaging) -> Result<ReadInventory, FeedError> {
    let mut inventory = ReadInventory::default();
    let mut columns = match packaging {
        Packaging::Dpkg => Columns::of_dpkg_query(),
        Packaging::Rpm => Columns::of_rpm_query(),
    };
    let mut buffer = Vec::new();
    for number in 1_u64.. {
        let text = match read_line(&mut source, &mut buffer, LINE_BYTES).map_err(FeedError::Input)? {
            Line::End => break,
            Line::Text => std::str::from_utf8(&buffer).map_err(|_| "it is not UTF-8".to_owned()),
            Line::TooLong => Err(format!("it is longer than {LINE_BYTES} bytes")),
        };
        if let Ok(text) = text {
            let text = text.trim_end_matches('\r');
            if let Some(header) = text.strip_prefix('#') {
                if number == 1 {
                    columns = Columns::of_header(header)?;
                }
                continue;
            }
            if text.trim().is_empty() {
                continue;
            }
        }
        if inventory.packages.len() == MAX_PACKAGES {
            return Err(FeedError::Malformed(format!("the inventory has more than {MAX_PACKAGES} packages")));
        }
        let outcome = text.and_then(|text| columns.package(text.trim_end_matches('\r'), packaging));
        match outcome {
            Ok(Some(package)) => inventory.packages.push(package),
            Ok(None) => {}
            Err(reason) => inventory.refused.push(RecordError::new(format!("line {number}"), reason)),
        }
    }
    Ok(inventory)
}

/// Positions of the columns.
#[derive(Default)]
struct Columns {
    name: usize,
    version: usize,
    candidate: Option<usize>,
    arch: Option<usize>,
    modularity: Option<usize>,
    source: Option<usize>,
    source_version: Option<usize>,
    source_rpm: Option<usize>,
    status: Option<usize>,
    vendor: Option<usize>,
}

impl Columns {
    fn of_dpkg_query() -> Self {
        Self {
            name: 0,
            version: 1,
            arch: Some(2),
            source: Some(3),
            source_version: Some(4),
            status: Some(5),
            ..Self::default()
        }
    }

    fn of_rpm_query() -> Self {
        Self {
            name: 0,
            version: 1,
            arch: Some(2),
            source_rpm: Some(3),
            modularity: Some(4),
            vendor: Some(5),
            ..Self::default()
        }
    }

    fn of_header(header: &str) -> Result<Self, FeedError> {
        let names: Vec<&str> = header.split('\t').map(str::trim).collect();
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(name));
        let required = |wanted: &[&str]| {
            let missing =
                || FeedError::Malformed(format!("the inventory's header has no column `{}`", wanted[0]));
            find(wanted).ok_or_else(missing)
        };
        Ok(Self {
            name: required(&["name", "package"])?,
            version: required(&["installed", "version"])?,
            candidate: find(&["candidate_from_package_manager", "candidate"]),
            arch: find(&["arch", "architecture"]),
            modularity: find(&["modularity", "modularitylabel"]),
            source_rpm: find(&["sourcerpm", "source_rpm"]),
            source: find(&["source"]),
            source_version: find(&["source_version"]),
            status: find(&["status"]),
            vendor: find(&["vendor", "origin"]),
        })
    }

    /// `None` for packages that dpkg remembers but that are not installed.
    fn package(&self, line: &str, packaging: Packaging) -> Result<Option<InstalledPackage>, String> {
        if line.contains('\0') {
            return Err("it contains a NUL character".to_owned());
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |at: Option<usize>| {
            let text = at.and_then(|at| fields.get(at)).map(|text| text.trim());
            text.filter(|text| !text.is_empty() && *text != "(none)")
        };
        let found = Fields {
            name: field(Some(self.name)).unwrap_or_default(),
            version: field(Some(self.version)).unwrap_or_default(),
            candidate: field(self.candidate),
            arch: field(self.arch),
            modularity: field(self.modularity),
            source: field(self.source),
            source_version: field(self.source_version),
            source_rpm: field(self.source_rpm),
            status: field(self.status),
            vendor: field(self.vendor),
        };
        if packaging == Packaging::Rpm && fields.len() == 1 && Nevra::parse(found.name).arch.is_some() {
            // Without its epoch a package would look older than it is.
            return Err(format!(
                "`{}` has no epoch; print `%{{NAME}}\t%{{EPOCHNUM}}:%{{VERSION}}-%{{RELEASE}}\t%{{ARCH}}`",
                found.name
            ));
        }
        installed_package(&found, packaging)
    }
}

/// What a list says about one package. Absent fields are not known.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub candidate: Option<&'a str>,
    pub arch: Option<&'a str>,
    pub modularity: Option<&'a str>,
    pub source: Option<&'a str>,
    pub source_version: Option<&'a str>,
    pub source_rpm: Option<&'a str>,
    /// Two letters of dpkg. `ii`: wanted and installed; `hi`: held; `rc`: removed, configuration kept.
    pub status: Option<&'a str>,
    pub vendor: Option<&'a str>,
}

/// `None` for packages that dpkg remembers but that are not installed.
pub(super) fn installed_package(
    fields: &Fields<'_>,
    packaging: Packaging,
) -> Result<Option<InstalledPackage>, String> {
    let status = fields.status.unwrap_or("ii");
    if matches!(status.as_bytes().get(1), Some(b'c' | b'n')) {
        return Ok(None);
    }
    let name = Some(fields.name).filter(|name| !name.is_empty()).ok_or("it has no package name")?;
    let version = Some(fields.version).filter(|version| !version.is_empty());
    let version = version.ok_or_else(|| format!("`{name}` has no version"))?;
    if [name, version].into_iter().any(|text| text.contains(char::is_control)) {
        return Err("its name or version contains a control character".to_owned());
    }
    let version = match packaging {
        // An absent epoch is 0; it is stored in only one spelling.
        Packaging::Rpm => version.strip_prefix("0:").or(version.strip_prefix("(none):")).unwrap_or(version),
        Packaging::Dpkg => version,
    };
    // dpkg qualifies names that are installed for several architectures: `libc6:amd64`.
    let name = if packaging == Packaging::Dpkg { name.split(':').next().unwrap_or(name) } else { name };
    for version in [Some(version), fields.source_version].into_iter().flatten() {
        Version::parse(packaging, version).map_err(|error| format!("{name}: {error}"))?;
    }
    let module = fields.modularity.map(str::parse).transpose().map_err(|error| format!("{name}: {error}"))?;
    let owned = |field: Option<&str>| field.map(str::to_owned);
    let mut package = InstalledPackage::new(name, version);
    package.arch = owned(fields.arch);
    let of_rpm = fields.source_rpm.and_then(|file| source_rpm(file, version));
    let (source, source_version) = match of_rpm {
        Some((source, source_version)) => (Some(source), source_version),
        None => (owned(fields.source), owned(fields.source_version)),
    };
    package.source_name = source.filter(|source| source != name);
    package.source_version = source_version.filter(|source| source != version);
    package.module = module;
    package.vendor = owned(fields.vendor);
    package.held = status.starts_with('h');
    package.candidate =
        owned(fields.candidate).filter(|candidate| Version::parse(packaging, candidate).is_ok());
    Ok(Some(package))
}

/// Name and version of a source in the name of its file, `bash-5.1.8-9.el9.src.rpm`, which leaves out the epoch. Almost
/// all builds have the epoch of their source, so the build's is used.
pub(super) fn source_rpm(file: &str, version: &str) -> Option<(String, Option<String>)> {
    let parts = Nevra::parse(file.strip_suffix(".rpm")?);
    let name = parts.name.filter(|_| matches!(parts.arch, Some("src" | "nosrc")))?;
    let (epoch, own) = version.split_once(':').map_or((None, version), |(epoch, own)| (Some(epoch), own));
    let source_version = (own != parts.evr).then(|| match epoch {
        Some(epoch) => format!("{epoch}:{}", parts.evr),
        None => parts.evr.to_owned(),
    });
    Some((name.to_owned(), source_version))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let text = "#name\tinstalled\tarch\tmodularity\nperl\t4:5.26-1.el8\tx86_64\t\n\
            perl-URI\t1.73-3.module_el8.5.0+1+a\tnoarch\tperl:5.26:8050:aa\n";
        let read = read_tsv(text.as_bytes(), Packaging::Rpm).unwrap();
        assert!(read.refused.is_empty());
        assert_eq!(read.packages[0].version, "4:5.26-1.el8");
        assert_eq!(read.packages[1].module.as_ref().unwrap().to_string(), "perl:5.26");
    }

    #[test]
    fn dpkg_query_is_read_without_header() {
        let text = "libc6:amd64\t2.36-9\tamd64\tglibc\t2.36-9\thi \nold\t1-1\tamd64\told\t1-1\trc \nadduser\t3.134\tall\tadduser\t3.134\tii \n";
        let read = read_tsv(text.as_bytes(), Packaging::Dpkg).unwrap();
        assert_eq!(read.packages.len(), 2);
        assert_eq!((read.packages[0].name.as_str(), read.packages[0].source_name()), ("libc6", "glibc"));
        assert!(read.packages[0].held && !read.packages[1].held);
    }

    #[test]
    fn rpm_query_is_read_without_header() {
        let text = "bash\t0:5.1.8-9.el9\tx86_64\tbash-5.1.8-9.el9.src.rpm\t(none)\n\
            openssl-libs\t1:3.0.7-24.el9\tx86_64\topenssl-3.0.7-24.el9.src.rpm\t(none)\n\
            perl-libs\t4:5.32.1-481.el9\tx86_64\tperl-5.32.2-481.el9.src.rpm\tperl:5.32:8:aa\n\
            gpg-pubkey\t0:b86b3716-61e69f29\t(none)\t(none)\t(none)\n\
            zlib-1.2.11-40.el9.x86_64\n";
        let read = read_tsv(text.as_bytes(), Packaging::Rpm).unwrap();
        let told: Vec<_> = read
            .packages
            .iter()
            .map(|one| (one.name.as_str(), one.version.as_str(), one.source_name(), one.source_version()))
            .collect();
        assert_eq!(
            told,
            [
                ("bash", "5.1.8-9.el9", "bash", "5.1.8-9.el9"),
                ("openssl-libs", "1:3.0.7-24.el9", "openssl", "1:3.0.7-24.el9"),
                ("perl-libs", "4:5.32.1-481.el9", "perl", "4:5.32.2-481.el9"),
                ("gpg-pubkey", "b86b3716-61e69f29", "gpg-pubkey", "b86b3716-61e69f29"),
            ]
        );
        assert_eq!(read.packages[2].module.as_ref().unwrap().to_string(), "perl:5.32");
        assert!(read.refused[0].to_string().contains("has no epoch"), "{:?}", read.refused);
    }

    #[test]
    fn bad_lines_do_not_lose_the_others() {
        let text = b"#name\tinstalled\na\t1.0-\nb\nc\t1\0\n\xFF\t1\nd\t1.0\n";
        let read = read_tsv(&text[..], Packaging::Dpkg).unwrap();
        assert_eq!((read.packages.len(), read.refused.len()), (1, 4));
        assert_eq!(
            read.refused[0].to_string(),
            "line 2: a: `1.0-` is not a dpkg version: its revision is empty"
        );
        assert!(read_tsv(&b"#something\tinstalled\n"[..], Packaging::Dpkg).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_handled(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_tsv(&input[..], Packaging::Rpm);
            let _ = read_tsv(&input[..], Packaging::Dpkg);
        }
    }
}
