//! Errors in the fields of customers and release policies.

use api_types::access::is_address;
use domain::release::{CheckRun, Customer, Deployer, HealthSource, ReleasePolicies};
use service_kit::{ApiResult, FieldErrors};

use crate::App;

pub(super) fn check_customer(app: &App, customer: &Customer) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    add_customer_errors(app, customer, "", &mut errors);
    errors.finish()
}

/// `at` is the JSON pointer to the customer.
pub(super) fn add_customer_errors(app: &App, customer: &Customer, at: &str, errors: &mut FieldErrors) {
    errors.extend(customer.faults().into_iter().map(|(pointer, reason)| (format!("{at}{pointer}"), reason)));
    let health = match &customer.health {
        HealthSource::Http { url } | HealthSource::Prometheus { url, .. } => Some(url),
        HealthSource::Sim => None,
    };
    let deployer = match &customer.deployer {
        Deployer::Webhook { url } => Some(url),
        Deployer::Sim | Deployer::Playbook { .. } => None,
    };
    for (position, contact) in customer.contacts.iter().enumerate() {
        let pointer = format!("{at}/contacts/{position}");
        if contact.contains("://") {
            if let Err(refusal) = app.runs.compliance.webhooks.check(contact) {
                errors.add(pointer, refusal.to_string());
            }
        } else {
            errors.require(is_address(contact), pointer, "is neither an e-mail address nor an http address");
        }
    }
    for (field, url) in [("health", health), ("deployer", deployer)] {
        if let Some(url) = url {
            add_url_error(app, url, format!("{at}/{field}/url"), errors);
        }
    }
    if let Deployer::Playbook { address, host_key, .. } = &customer.deployer {
        errors.require(
            address.parse::<ansible::Address>().is_ok(),
            format!("{at}/deployer/address"),
            "must be a host name or an IP address",
        );
        if let Some(Err(error)) = host_key.as_ref().map(|key| key.parse::<ansible::HostKey>()) {
            errors.add(format!("{at}/deployer/host_key"), error.to_string());
        }
    }
}

pub(super) fn add_policy_errors(app: &App, policies: &ReleasePolicies, errors: &mut FieldErrors) {
    let faults = policies.faults().into_iter();
    errors.extend(faults.map(|(pointer, reason)| (format!("/policies{pointer}"), reason)));
    for (list, checks) in [("validation", &policies.validation), ("smoke_tests", &policies.smoke_tests)] {
        for (index, check) in checks.iter().enumerate() {
            if let CheckRun::Webhook { url } = &check.run {
                add_url_error(app, url, format!("/policies/{list}/{index}/run/url"), errors);
            }
        }
    }
}

fn add_url_error(app: &App, url: &str, pointer: String, errors: &mut FieldErrors) {
    if let Err(refusal) = app.outside.receivers.check(url) {
        errors.add(pointer, refusal.to_string());
    }
}
