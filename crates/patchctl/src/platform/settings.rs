//! The settings of each service when all run in one process: the addresses of the others and the paths in the data folder.
//! Everything else comes from the environment variables of the service's own program.

use std::env;
use std::path::Path;

use service_kit::{
    Limits,
    audit_export::{AuditExportConfig, AuditExports},
    oidc::{Oidc, OidcConfig},
    webhooks::{WebhookConfig, WebhookKey},
};

use super::PlatformConfig;
use super::addresses::Addresses;
use super::tokens;
use terminal::Failure;

pub fn sim_engine(config: &PlatformConfig) -> Result<sim_engine::SimSettings, Failure> {
    let mut settings: sim_engine::SimSettings = from_environment()?;
    settings.laboratory |= config.laboratory;
    if let Some(dir) = &config.fleet_dir {
        settings.fleet_dir = Some(dir.clone());
    }
    Ok(settings)
}

pub fn cmdb(addresses: &Addresses) -> Result<cmdb::Settings, Failure> {
    let mut settings: cmdb::Settings = from_environment()?;
    settings.sim_engine_url = addresses.sim_engine.clone();
    Ok(settings)
}

pub fn itsm(addresses: &Addresses, data_dir: &Path) -> Result<itsm::Settings, Failure> {
    let mut settings: itsm::Settings = from_environment()?;
    if env::var_os("PUBLIC_URL").is_none() {
        settings.public_url = addresses.itsm.clone();
    }
    settings.patch_manager_url = Some(addresses.patch_manager.clone());
    if settings.approval_key_file.is_none() {
        settings.approval_key_file = Some(tokens::approval_key_file(data_dir)?);
    }
    Ok(settings)
}

pub fn patch_manager(
    addresses: &Addresses,
    config: &PlatformConfig,
    sim_engine: &sim_engine::SimSettings,
) -> Result<patch_manager::Settings, Failure> {
    let mut settings: patch_manager::Settings = from_environment()?;
    let patch_manager::Settings { compliance, runs, releases } = &mut settings;
    compliance.cmdb_url = addresses.cmdb.clone();
    runs.itsm_url = addresses.itsm.clone();
    runs.sim_engine_url = addresses.sim_engine.clone();
    // The hosts of the fleet accept the key that the sim-engine created for the fleet.
    if let (None, Some(dir)) = (&runs.ssh_key_file, &sim_engine.fleet_dir) {
        runs.ssh_key_file = Some(std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).join("id_ed25519"));
    }
    if env::var_os("PATCH_WORK_DIR").is_none() {
        compliance.work_dir = config.data_dir.join("work");
    }
    releases.release_checks = releases.release_checks.take().or_else(|| config.release_checks.clone());
    if env::var_os("PATCH_PUBLIC_URL").is_none() {
        runs.public_url = addresses.patch_manager.clone();
    }
    Ok(settings)
}

/// The key of webhooks: that of the environment, or one of the data folder.
pub fn webhook_key(data_dir: &Path) -> Result<WebhookKey, Failure> {
    let WebhookConfig { webhook_key_file } = from_environment()?;
    let file = match webhook_key_file {
        Some(file) => file,
        None => tokens::webhook_key_file(data_dir)?,
    };
    WebhookKey::from_file(Some(&file)).map_err(|error| Failure::new(format!("{error:#}")))
}

/// Where the ends of audit chains go: as the environment says, otherwise to a file of the data folder.
pub fn audit_exports(data_dir: &Path) -> Result<AuditExports, Failure> {
    let mut config: AuditExportConfig = from_environment()?;
    if config.audit_key_file.is_none() {
        config.audit_key_file = Some(tokens::audit_key_file(data_dir)?);
    }
    let AuditExportConfig { audit_export_file, audit_export_url, audit_export_syslog, .. } = &config;
    if audit_export_file.is_none() && audit_export_url.is_none() && audit_export_syslog.is_none() {
        config.audit_export_file = Some(data_dir.join("audit-heads"));
    }
    AuditExports::new(&config).map_err(|error| Failure::new(format!("{error:#}")))
}

/// The identity provider, for a service that browsers reach at this address.
pub fn oidc(public_url: &str) -> Result<Oidc, Failure> {
    let config: OidcConfig = from_environment()?;
    // One address cannot be that of both services.
    if config.oidc_issuer.is_some() && config.oidc_public_url.is_some() {
        return Err(Failure::new(
            "OIDC_PUBLIC_URL is for the programs of single services; set PATCH_PUBLIC_URL and PUBLIC_URL instead",
        ));
    }
    Oidc::new(&config, Some(public_url)).map_err(|error| Failure::new(format!("{error:#}")))
}

/// What one client may take of a service.
pub fn limits() -> Result<Limits, Failure> {
    from_environment()
}

/// The settings that the service's own program would use when started without arguments.
fn from_environment<A: clap::Args>() -> Result<A, Failure> {
    let command = A::augment_args(clap::Command::new("settings").no_binary_name(true));
    let found = command.try_get_matches_from([""; 0]).and_then(|matches| A::from_arg_matches(&matches));
    found.map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        Failure::new(format!("an environment variable is not valid: {}", first.trim_start_matches("error: ")))
    })
}
