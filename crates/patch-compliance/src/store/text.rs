//! Words of the wire as they stand in columns.

use api_types::patch::{ComplianceStatus, PatchStateOfPackage, Severity};

pub fn status(text: &str) -> ComplianceStatus {
    match text {
        "compliant" => ComplianceStatus::Compliant,
        "non_compliant" => ComplianceStatus::NonCompliant,
        _ => ComplianceStatus::Unknown,
    }
}

pub fn status_name(status: ComplianceStatus) -> &'static str {
    match status {
        ComplianceStatus::Compliant => "compliant",
        ComplianceStatus::NonCompliant => "non_compliant",
        ComplianceStatus::Unknown => "unknown",
    }
}

pub fn package_state(text: &str) -> PatchStateOfPackage {
    match text {
        "held" => PatchStateOfPackage::Held,
        "pending_reboot" => PatchStateOfPackage::PendingReboot,
        "excepted" => PatchStateOfPackage::Excepted,
        _ => PatchStateOfPackage::Missing,
    }
}

/// What a vendor did not rate counts as `none`.
pub fn severity(text: &str) -> Severity {
    match text {
        "critical" => Severity::Critical,
        "high" => Severity::High,
        "medium" => Severity::Medium,
        "low" => Severity::Low,
        _ => Severity::None,
    }
}
