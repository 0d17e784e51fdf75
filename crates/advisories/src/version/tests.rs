use std::cmp::Ordering::{self, Equal, Greater, Less};

use proptest::prelude::*;

use super::*;

fn rpm(a: &str, b: &str) -> Ordering {
    compare(Packaging::Rpm, a, b).unwrap()
}

fn dpkg(a: &str, b: &str) -> Ordering {
    compare(Packaging::Dpkg, a, b).unwrap()
}

#[test]
fn number_that_is_not_there_is_0_for_dpkg() {
    for (a, b) in [
        ("5.1.0-1", "5.1.-1"),
        ("5.1.-1", "5.1.0-1"),
        ("2a", "2a0"),
        ("1.2~rc", "1.2~rc0"),
        ("1-1ubuntu", "1-1ubuntu0"),
        ("1-0", "1"),
        ("1-1~", "1-1~0"),
    ] {
        assert_eq!(compare(Packaging::Dpkg, a, b).unwrap(), Ordering::Equal, "{a} {b}");
    }
    for (lower, higher) in
        [("5.1.-1", "5.1.1-1"), ("1~rc", "1"), ("1-1~", "1-1"), ("2a", "2b"), ("2a", "2a.1")]
    {
        assert_eq!(compare(Packaging::Dpkg, lower, higher).unwrap(), Ordering::Less, "{lower} {higher}");
    }
}

#[test]
fn release_of_an_rpm_begins_after_the_last_hyphen() {
    let version = Version::parse(Packaging::Rpm, "1:2.0-rc1-3.el9").unwrap();
    assert_eq!((version.upstream(), version.release()), ("2.0-rc1", "3.el9"));
    assert_eq!(compare(Packaging::Rpm, "2.0-rc1-3", "2.0-rc1-10").unwrap(), Ordering::Less);
}

#[test]
fn absent_epoch_is_zero() {
    assert_eq!(rpm("0:1.0-1", "1.0-1"), Equal);
    assert_eq!(rpm(":1.0-1", "1.0-1"), Equal);
    assert_eq!(rpm("1:1.0-1", "2.0-1"), Greater);
    assert_eq!(dpkg("0:1.0-1", "1.0-1"), Equal);
    assert_eq!(dpkg("1:1.0-1", "2.0-1"), Greater);
}

#[test]
fn release_is_compared() {
    assert_eq!(rpm("3.0.7-24.el9", "3.0.7-27.el9"), Less);
    assert_eq!(rpm("1.0", "1.0-1"), Less);
    assert_eq!(rpm("1.0", "1.0-"), Less);
    assert_eq!(rpm("1.0", "1.0-~1"), Less);
    assert_eq!(dpkg("3.0.15-1~deb12u1", "3.0.15-1"), Less);
    assert_eq!(dpkg("1.0", "1.0-0"), Equal);
}

#[test]
fn rpm_colon_after_other_than_digits_is_not_an_epoch() {
    assert_eq!(Version::parse(Packaging::Rpm, "a:1-2").unwrap().upstream(), "a:1");
    assert_eq!(Version::parse(Packaging::Rpm, "1:2:3-4-5").unwrap().upstream(), "2:3-4");
    assert_eq!(Version::parse(Packaging::Rpm, "1:2:3-4-5").unwrap().release(), "5");
}

/// Answers of `dpkg --validate-version` 1.21.
#[test]
fn dpkg_refuses_what_dpkg_refuses() {
    let refused = [
        "",
        "  ",
        "0:",
        ":1.0",
        "1.0-",
        "0:0 0-1",
        "-1:0-1",
        "999999999999999999999999:0-1",
        "2147483648:0",
        "a:0-0",
        "-0",
        "0:-0",
        "0:abc3-0",
        "0:0-0:0",
        "1_0",
        "1:-",
        "1.0é",
        "~1",
        "1^2",
        "١:1",
        "0x1:1",
        "1.0\n",
        "2:+1",
        "1-:1",
        "1\0",
        "+:1",
    ];
    for text in refused {
        assert!(compare(Packaging::Dpkg, text, "1").is_err(), "`{text}` was taken");
    }
    let taken =
        ["  \t0:0-1", "0:0-1\t  ", "+1:0", "01:0", "2147483647:0", "1:1:1-1", "1-1-1", "1-~", "1--1", "1:0:"];
    for text in taken {
        assert!(compare(Packaging::Dpkg, text, "1").is_ok(), "`{text}` was refused");
    }
}

#[test]
fn rpm_refuses_what_cannot_be_stored() {
    for text in ["", " ", "1:", "1 0", "1\n0", "1\0", "4294967296:1"] {
        assert!(compare(Packaging::Rpm, text, "1").is_err(), "`{text}` was taken");
    }
}

#[test]
fn huge_versions_are_refused_and_long_digit_runs_compared() {
    assert!(compare(Packaging::Dpkg, &"9".repeat(1_000_000), "1").is_err());
    assert!(compare(Packaging::Rpm, &"9".repeat(1_000_000), "1").is_err());
    let (a, b) = (format!("1.{}", "9".repeat(1000)), format!("1.1{}", "0".repeat(1000)));
    assert_eq!(dpkg(&a, &b), Less);
    assert_eq!(rpm(&a, &b), Less);
}

#[test]
fn error_names_the_reason() {
    let error = compare(Packaging::Dpkg, "1", "1_0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`1_0` is not a dpkg version: its upstream version has a character other than letters, digits and `-+.~:`"
    );
}

#[test]
fn nevra_is_parsed() {
    let parsed = Nevra::parse("fonts-filesystem-1:2.0.5-12.fc39.noarch");
    assert_eq!(
        parsed,
        Nevra { name: Some("fonts-filesystem"), evr: "1:2.0.5-12.fc39", arch: Some("noarch") }
    );
    assert_eq!(Nevra::parse("1:2.0.5-12.fc39"), Nevra { name: None, evr: "1:2.0.5-12.fc39", arch: None });
}

/// Strings near real versions, so that the interesting branches are met often.
fn rpm_version() -> impl Strategy<Value = String> {
    "([0-2]:)?[0-9a-c~^._+]{1,8}(-[0-9a-c~^._+]{1,6})?"
}

fn dpkg_version() -> impl Strategy<Value = String> {
    "([0-2]:)?[0-9][0-9a-c~.+-]{0,8}(-[0-9a-c~.+]{1,6})?"
}

fn total_order(packaging: Packaging, a: &str, b: &str, c: &str) -> Result<(), TestCaseError> {
    let order = |x: &str, y: &str| compare(packaging, x, y);
    let (Ok(ab), Ok(ba), Ok(bc), Ok(ac)) = (order(a, b), order(b, a), order(b, c), order(a, c)) else {
        return Ok(());
    };
    prop_assert_eq!(order(a, a).unwrap(), Equal);
    prop_assert_eq!(ab, ba.reverse());
    if ab == bc {
        prop_assert_eq!(ac, ab);
    }
    if ab == Equal {
        prop_assert_eq!(ac, bc);
    }
    Ok(())
}

proptest! {
    #[test]
    fn rpm_order_is_total(a in rpm_version(), b in rpm_version(), c in rpm_version()) {
        total_order(Packaging::Rpm, &a, &b, &c)?;
    }

    #[test]
    fn dpkg_order_is_total(a in dpkg_version(), b in dpkg_version(), c in dpkg_version()) {
        total_order(Packaging::Dpkg, &a, &b, &c)?;
    }

    #[test]
    fn any_text_is_handled(a in "\\PC*", b in any::<String>()) {
        let _ = compare(Packaging::Rpm, &a, &b);
        let _ = compare(Packaging::Dpkg, &a, &b);
        let _ = Nevra::parse(&a);
    }
}
