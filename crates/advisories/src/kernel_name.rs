//! Names of kernel packages on Debian and Ubuntu, which contain the version of the kernel.

/// The kernels of one series and flavour under one name, because a notice names only the newest: `linux-image-6.8.0-*-generic` for
/// `linux-image-6.8.0-45-generic` and `linux-image-unsigned-6.8.0-48-generic`. `None` for other packages.
pub fn series_of_image(name: &str) -> Option<String> {
    let rest = name.strip_prefix("linux-image-unsigned-").or_else(|| name.strip_prefix("linux-image-"))?;
    let (version, rest) = rest.split_once('-')?;
    let (build, flavour) = rest.split_once('-')?;
    let is_kernel = is_number(version) && is_number(build) && !flavour.is_empty();
    is_kernel.then(|| format!("linux-image-{version}-*-{flavour}"))
}

/// Whether it is any package of one kernel: `linux-modules-extra-6.8.0-45-generic`, `linux-headers-6.8.0-45`.
pub(crate) fn is_of_one_kernel(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    parts[0] == "linux" && parts.windows(2).any(|pair| is_number(pair[0]) && is_number(pair[1]))
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_one_series_have_one_name() {
        for (name, expected) in [
            ("linux-image-6.8.0-45-generic", Some("linux-image-6.8.0-*-generic")),
            ("linux-image-unsigned-6.8.0-48-generic-64k", Some("linux-image-6.8.0-*-generic-64k")),
            ("linux-image-6.1.0-29-cloud-amd64", Some("linux-image-6.1.0-*-cloud-amd64")),
            ("linux-image-generic-hwe-22.04", None),
            ("linux-modules-6.8.0-45-generic", None),
            ("linux-image-", None),
        ] {
            assert_eq!(series_of_image(name).as_deref(), expected, "{name}");
        }
        for (name, expected) in [
            ("linux-modules-extra-6.8.0-45-generic", true),
            ("linux-headers-6.8.0-45", true),
            ("linux-libc-dev", false),
            ("linux-image-generic-hwe-22.04", false),
            ("", false),
        ] {
            assert_eq!(is_of_one_kernel(name), expected, "{name}");
        }
    }
}
