//! Builds that must not be compared with others of the same name: their versions follow a numbering of their own.

/// What such builds have in their version, in lower case: as a part between separators, with or without a number behind it.
///
/// Sources: Oracle's Ksplice (`2:2.34-60.0.3.ksplice1.el9`), FIPS builds of Canonical and Oracle (`1.1.1f-1ubuntu2.fips.22`,
/// `3.0.2-0ubuntu1.12+Fips1`, `10:3.2.2-6.0.1.el9_fips`), CentOS Plus, and the repositories ELRepo, Remi, PGDG, NodeSource and
/// nginx.
const MARKS: [&str; 8] = ["elrepo", "fips", "ksplice", "ngx", "nodesource", "pgdg", "plus", "remi"];

/// Whether both builds are of the same line.
pub(super) fn is_same_line(a: &str, b: &str) -> bool {
    mark(a) == mark(b)
}

fn mark(version: &str) -> Option<&'static str> {
    // Only what follows the upstream version is of the one who built it.
    let at = version.find(['-', '+', '~'])?;
    let mut parts = version[at..].split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.find_map(|part| {
        let word = part.trim_matches(|c: char| c.is_ascii_digit());
        MARKS.iter().find(|mark| mark.eq_ignore_ascii_case(word)).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_recognised_by_their_builds() {
        for (version, expected) in [
            ("2:2.34-60.0.3.ksplice1.el9", Some("ksplice")),
            ("1.1.1f-1ubuntu2.fips.22", Some("fips")),
            ("3.0.2-0ubuntu1.12+Fips1", Some("fips")),
            ("10:3.2.2-6.0.1.el9_fips", Some("fips")),
            ("6.9.1-1.el9.elrepo", Some("elrepo")),
            ("8.2.9-1.el9.remi", Some("remi")),
            ("16.3-1PGDG.rhel9", Some("pgdg")),
            ("16.3-1.pgdg120+1", Some("pgdg")),
            ("2:20.11.0-1nodesource", Some("nodesource")),
            ("1:1.26.0-1.el9.ngx", Some("ngx")),
            ("3.10.0-1160.el7.centos.plus", Some("plus")),
            ("5.14.0-427.el9_4", None),
            ("2.36-9+deb12u7", None),
            ("fips-1", None),
            ("", None),
        ] {
            assert_eq!(mark(version), expected, "{version}");
        }
    }
}
