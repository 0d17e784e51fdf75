//! What a request to create a machine must fulfil.

use std::collections::BTreeSet;

use api_types::sim::{CreateVm, GuestSpec};
use domain::package::Packaging;

use super::{Complaints, is_name, is_text, pointer};

const MOST_PACKAGES: usize = 5_000;
const MOST_SERVICES: usize = 100;
const MOST_TAGS: usize = 50;
/// No operation of a guest takes longer than a day.
const MOST_SECONDS: f64 = 86_400.0;
/// A clock is a year off at most.
const MOST_OFFSET_MS: i64 = 366 * 86_400_000;

/// Adds what is wrong with `request`; `at` is where it stands in the body.
pub(super) fn check(complaints: &mut Complaints, request: &CreateVm, at: &str) {
    let os_is_known = is_name(&request.os, 50) && Packaging::of_os(&request.os).is_some();
    complaints.check(
        os_is_known,
        format!("{at}/os"),
        "must be an OS tag of a known family, such as `rocky9` or `debian12`",
    );
    for (field, name) in [("cluster", &request.cluster), ("hypervisor", &request.hypervisor)] {
        let fits = name.as_ref().is_none_or(|name| is_name(name, 100));
        complaints.check(fits, format!("{at}/{field}"), "must be 1 to 100 characters without spaces");
    }
    complaints.check(
        request.tags.len() <= MOST_TAGS,
        format!("{at}/tags"),
        format!("must have at most {MOST_TAGS} tags"),
    );
    for (key, value) in &request.tags {
        complaints.check(
            is_name(key, 100) && is_text(value, 200),
            format!("{at}/tags/{}", pointer(key)),
            "must have a key of 1 to 100 characters without spaces and a value of at most 200",
        );
    }
    check_guest(complaints, &request.guest, &format!("{at}/guest"));
}

fn check_guest(complaints: &mut Complaints, guest: &GuestSpec, at: &str) {
    complaints.check(
        guest.packages.len() <= MOST_PACKAGES,
        format!("{at}/packages"),
        format!("must be at most {MOST_PACKAGES}"),
    );
    for (name, version) in &guest.packages {
        complaints.check(
            is_name(name, 200) && is_name(version, 200),
            format!("{at}/packages/{}", pointer(name)),
            "must be a name and a version of 1 to 200 characters without spaces",
        );
    }
    for (field, names) in
        [("reboot_packages", &guest.reboot_packages), ("held_packages", &guest.held_packages)]
    {
        let fits = names.len() <= MOST_PACKAGES && names.iter().all(|name| is_name(name, 200));
        complaints.check(
            fits,
            format!("{at}/{field}"),
            format!("must be at most {MOST_PACKAGES} names of 1 to 200 characters without spaces"),
        );
    }
    for (field, seconds) in [
        ("patch_seconds", guest.patch_seconds),
        ("reboot_seconds", guest.reboot_seconds),
        ("drain_seconds", guest.drain_seconds),
    ] {
        let fits = (0.0..=MOST_SECONDS).contains(&seconds);
        complaints.check(fits, format!("{at}/{field}"), format!("must be 0 to {MOST_SECONDS}"));
    }
    complaints.check(
        (0.0..=100.0).contains(&guest.disk_free_percent),
        format!("{at}/disk_free_percent"),
        "must be 0 to 100",
    );
    complaints.check(
        (-MOST_OFFSET_MS..=MOST_OFFSET_MS).contains(&guest.clock_offset_ms),
        format!("{at}/clock_offset_ms"),
        "must be a year at most",
    );
    check_services(complaints, guest, at);
}

fn check_services(complaints: &mut Complaints, guest: &GuestSpec, at: &str) {
    complaints.check(
        guest.services.len() <= MOST_SERVICES,
        format!("{at}/services"),
        format!("must be at most {MOST_SERVICES}"),
    );
    let mut seen = BTreeSet::new();
    for (index, service) in guest.services.iter().enumerate() {
        let at = format!("{at}/services/{index}");
        complaints.check(
            is_name(&service.name, 200) && !service.name.contains('/'),
            format!("{at}/name"),
            "must be 1 to 200 characters without spaces and `/`",
        );
        complaints.check(
            seen.insert(&service.name),
            format!("{at}/name"),
            "names a service that stands in this list already",
        );
        complaints.check(service.port != Some(0), format!("{at}/port"), "must be 1 to 65535");
    }
}
