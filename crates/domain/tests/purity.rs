//! Proves that `clippy.toml` is in force: if clippy did not refuse these calls, the expectations would be unfulfilled, and
//! clippy would fail.

#[test]
#[expect(clippy::disallowed_methods, reason = "clocks are refused in pure crates")]
fn clocks_are_disallowed() {
    assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH);
    assert!(chrono::Utc::now() > chrono::DateTime::UNIX_EPOCH);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "random sources are refused in pure crates")]
fn random_sources_are_disallowed() {
    assert!(!uuid::Uuid::now_v7().is_nil());
}
