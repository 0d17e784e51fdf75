//! What requests must fulfil.

use std::collections::{BTreeMap, BTreeSet};

use api_types::sim::{CreateVm, GuestSpec};
use domain::{
    ids::ServiceName,
    package::Packaging,
    text::{has_hidden, is_hidden},
};
use service_kit::FieldErrors;

const MAX_PACKAGES: usize = 5_000;
const MAX_SERVICES: usize = 100;
const MAX_TAGS: usize = 50;
/// No operation of a guest takes longer than a day.
const MAX_SECONDS: f64 = 86_400.0;
/// A clock is wrong by a year at most.
const MAX_OFFSET_MS: i64 = 366 * 86_400_000;

/// Adds the errors of `request`, which is at the JSON pointer `at`.
pub(super) fn check_vm(errors: &mut FieldErrors, request: &CreateVm, at: &str) {
    check_os(errors, &request.os, format!("{at}/os"));
    for (field, name) in [("cluster", &request.cluster), ("hypervisor", &request.hypervisor)] {
        if let Some(name) = name {
            check_name(errors, name, 100, format!("{at}/{field}"));
        }
    }
    check_count(errors, request.tags.len(), 0, MAX_TAGS, format!("{at}/tags"));
    for (key, value) in &request.tags {
        errors.require(
            is_name(key, 100) && is_text(value, 200),
            format!("{at}/tags/{}", pointer(key)),
            "must have a key of 1 to 100 characters without spaces and a value of at most 200",
        );
    }
    check_guest(errors, &request.guest, &format!("{at}/guest"));
}

fn check_guest(errors: &mut FieldErrors, guest: &GuestSpec, at: &str) {
    check_packages(errors, &guest.packages, 0, &format!("{at}/packages"));
    for (field, names) in [
        ("reboot_packages", &guest.reboot_packages),
        ("library_packages", &guest.library_packages),
        ("held_packages", &guest.held_packages),
    ] {
        errors.require(
            names.len() <= MAX_PACKAGES && names.iter().all(|name| is_name(name, 200)),
            format!("{at}/{field}"),
            format!("must be at most {MAX_PACKAGES} names of 1 to 200 characters without spaces"),
        );
    }
    for (field, value, max) in [
        ("patch_seconds", guest.patch_seconds, MAX_SECONDS),
        ("reboot_seconds", guest.reboot_seconds, MAX_SECONDS),
        ("drain_seconds", guest.drain_seconds, MAX_SECONDS),
        ("disk_free_percent", guest.disk_free_percent, 100.0),
    ] {
        let is_in_range = (0.0..=max).contains(&value);
        errors.require(is_in_range, format!("{at}/{field}"), format!("must be 0 to {max}"));
    }
    let is_in_range = (-MAX_OFFSET_MS..=MAX_OFFSET_MS).contains(&guest.clock_offset_ms);
    errors.require(is_in_range, format!("{at}/clock_offset_ms"), "must be a year at most");
    check_count(errors, guest.services.len(), 0, MAX_SERVICES, format!("{at}/services"));
    let mut names = BTreeSet::new();
    for (index, service) in guest.services.iter().enumerate() {
        let at = format!("{at}/services/{index}");
        errors.require(
            ServiceName::new(&service.name).is_ok(),
            format!("{at}/name"),
            "must be the name of a service: 1 to 255 of `A-Z a-z 0-9 @ . _ : -`, no `-` or `.` first",
        );
        let is_new = names.insert(&service.name);
        errors.require(is_new, format!("{at}/name"), "is already the name of another service");
        errors.require(service.port != Some(0), format!("{at}/port"), "must be 1 to 65535");
    }
}

pub(super) fn check_os(errors: &mut FieldErrors, os: &str, at: impl Into<String>) {
    let is_known = is_name(os, 50) && Packaging::of_os(os).is_some();
    errors.require(is_known, at, "must be an OS tag of a known family, such as `rocky9` or `debian12`");
}

/// At least `min` packages, each a name and a version.
pub(super) fn check_packages(
    errors: &mut FieldErrors,
    packages: &BTreeMap<String, String>,
    min: usize,
    at: &str,
) {
    check_count(errors, packages.len(), min, MAX_PACKAGES, at);
    for (name, version) in packages {
        errors.require(
            is_name(name, 200) && is_name(version, 200),
            format!("{at}/{}", pointer(name)),
            "must be a name and a version of 1 to 200 characters without spaces",
        );
    }
}

pub(super) fn check_count(
    errors: &mut FieldErrors,
    count: usize,
    min: usize,
    max: usize,
    at: impl Into<String>,
) {
    errors.require((min..=max).contains(&count), at, format!("must have {min} to {max} entries"));
}

pub(super) fn check_name(errors: &mut FieldErrors, name: &str, max: usize, at: impl Into<String>) {
    errors.require(is_name(name, max), at, format!("must be 1 to {max} characters without spaces"));
}

/// A name without spaces and control characters, 1 to `max` bytes.
pub(super) fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(|c| is_hidden(c) || c.is_whitespace())
}

/// A text for people, at most `max` bytes.
pub(super) fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !has_hidden(text)
}

/// One segment of a JSON pointer, not longer than an answer should be.
pub(super) fn pointer(segment: &str) -> String {
    let shown: String = segment.chars().take(100).collect();
    shown.replace('~', "~0").replace('/', "~1")
}
