//! How sign-in at an identity provider is set up.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::value_parser;
use reqwest::Certificate;
use secrecy::SecretString;

use super::{
    http::{Http, check_scheme},
    provider::{Names, Provider},
    roles::RoleMap,
};

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct OidcConfig {
    /// Issuer of the OpenID Connect provider at which people sign in, exactly as it calls itself; without it, people sign in with
    /// tokens only.
    #[arg(long, env = "OIDC_ISSUER")]
    pub oidc_issuer: Option<String>,

    /// Name of the provider, as the sign-in view shows it.
    #[arg(long, env = "OIDC_NAME", default_value = "your organisation")]
    pub oidc_name: String,

    /// Client id of this service at the provider. Its redirect URI there is `<--oidc-public-url>/access/oidc/callback`.
    #[arg(long, env = "OIDC_CLIENT_ID")]
    pub oidc_client_id: Option<String>,

    /// File with the client's secret; without it, the client is a public one, which PKCE protects.
    #[arg(long, env = "OIDC_CLIENT_SECRET_FILE")]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// Client id for `patchctl login`: a public client that may use the device flow. Without it, there is no `patchctl login`.
    #[arg(long, env = "OIDC_DEVICE_CLIENT_ID")]
    pub oidc_device_client_id: Option<String>,

    /// Scopes that are asked for; the groups must be in the ID token with them.
    #[arg(long, env = "OIDC_SCOPES", default_value = "openid profile email")]
    pub oidc_scopes: String,

    /// Claim of the ID token with the person's groups; names inside of others with dots: `realm_access.roles`.
    #[arg(long, env = "OIDC_GROUPS_CLAIM", default_value = "groups")]
    pub oidc_groups_claim: String,

    /// Claim of the ID token that names a person who signs in for the first time and has no record yet.
    #[arg(long, env = "OIDC_SUBJECT_CLAIM", default_value = "preferred_username")]
    pub oidc_subject_claim: String,

    /// File with the roles of groups, a JSON object: `{"patch-approvers": ["approver"]}`. Members of no listed group cannot sign in.
    #[arg(long, env = "OIDC_ROLES_FILE")]
    pub oidc_roles_file: Option<PathBuf>,

    /// Seconds by which the clocks of the provider and of this service may differ.
    #[arg(long, env = "OIDC_CLOCK_SKEW_SECONDS", default_value_t = 30, value_parser = value_parser!(u32).range(0..=300))]
    pub oidc_clock_skew_seconds: u32,

    /// File with the certificate in PEM of the authority of a private provider, in addition to those of the machine.
    #[arg(long, env = "OIDC_CA_FILE")]
    pub oidc_ca_file: Option<PathBuf>,

    /// Address at which browsers reach this service. Needed if it does not listen on a loopback address.
    #[arg(long, env = "OIDC_PUBLIC_URL")]
    pub oidc_public_url: Option<String>,

    /// Minutes after which a session or token of a sign-in ends. A role that the provider took away ends then at the latest.
    #[arg(long, env = "OIDC_SESSION_MINUTES", default_value_t = 60, value_parser = value_parser!(u32).range(5..=480))]
    pub oidc_session_minutes: u32,
}

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            oidc_issuer: None,
            oidc_name: "your organisation".to_owned(),
            oidc_client_id: None,
            oidc_client_secret_file: None,
            oidc_device_client_id: None,
            oidc_scopes: "openid profile email".to_owned(),
            oidc_groups_claim: "groups".to_owned(),
            oidc_subject_claim: "preferred_username".to_owned(),
            oidc_roles_file: None,
            oidc_clock_skew_seconds: 30,
            oidc_ca_file: None,
            oidc_public_url: None,
            oidc_session_minutes: 60,
        }
    }
}

/// The provider at which people sign in; none by default. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Oidc(Option<Arc<Provider>>);

impl Oidc {
    /// `own_url`: where browsers reach the service, if no setting says it. The provider is not asked yet: a service starts while
    /// its provider is away.
    pub fn new(config: &OidcConfig, own_url: Option<&str>) -> anyhow::Result<Self> {
        let Some(issuer) = &config.oidc_issuer else { return Ok(Self::default()) };
        let missing = |what: &str| format!("`--oidc-issuer` needs {what} as well");
        let url = check_scheme("issuer", issuer).map_err(|error| anyhow::anyhow!("OIDC_ISSUER: {error}"))?;
        anyhow::ensure!(url.query().is_none(), "OIDC_ISSUER: an issuer has no query");
        let public_url =
            config.oidc_public_url.as_deref().or(own_url).with_context(|| missing("--oidc-public-url"))?;
        check_scheme("own pages", public_url).map_err(|error| anyhow::anyhow!("OIDC_PUBLIC_URL: {error}"))?;
        let client_id = config.oidc_client_id.clone().with_context(|| missing("--oidc-client-id"))?;
        let roles = config.oidc_roles_file.as_deref().with_context(|| missing("--oidc-roles-file"))?;
        anyhow::ensure!(
            config.oidc_scopes.split(' ').any(|scope| scope == "openid"),
            "OIDC_SCOPES: `openid` must be among the scopes"
        );
        let secret = config.oidc_client_secret_file.as_deref().map(read_secret).transpose()?;
        let authority = config.oidc_ca_file.as_deref().map(read_authority).transpose()?;
        let names = Names {
            name: config.oidc_name.clone(),
            issuer: issuer.clone(),
            client_id,
            device_client_id: config.oidc_device_client_id.clone(),
            scopes: config.oidc_scopes.clone(),
            groups_claim: config.oidc_groups_claim.clone(),
            subject_claim: config.oidc_subject_claim.clone(),
            public_url: public_url.trim_end_matches('/').to_owned(),
        };
        let provider = Provider::new(names, secret, RoleMap::from_file(roles)?, Http::new(&url, authority)?)
            .lasting(config.oidc_session_minutes)
            .tolerating(config.oidc_clock_skew_seconds);
        Ok(Self(Some(Arc::new(provider))))
    }

    pub fn provider(&self) -> Option<&Provider> {
        self.0.as_deref()
    }

    pub fn is_configured(&self) -> bool {
        self.0.is_some()
    }
}

/// The only line of the file. An error shows its name and never its content.
fn read_secret(file: &std::path::Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the secret of the OIDC client from `{}`", file.display()))?;
    let secret = text.trim();
    anyhow::ensure!(
        !secret.is_empty() && !secret.contains(char::is_control),
        "`{}` must contain the secret of the OIDC client in one line",
        file.display()
    );
    Ok(SecretString::from(secret))
}

pub(super) fn read_authority(file: &std::path::Path) -> anyhow::Result<Certificate> {
    let pem = std::fs::read(file)
        .with_context(|| format!("cannot read the authority of the provider from `{}`", file.display()))?;
    Certificate::from_pem(&pem)
        .with_context(|| format!("`{}` does not contain a certificate in PEM", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &tempfile::TempDir) -> OidcConfig {
        let roles = folder.path().join("roles.json");
        std::fs::write(&roles, r#"{ "cab": ["approver"] }"#).unwrap();
        OidcConfig {
            oidc_issuer: Some("https://id.example.org/realms/ops".to_owned()),
            oidc_client_id: Some("console".to_owned()),
            oidc_roles_file: Some(roles),
            ..OidcConfig::default()
        }
    }

    #[test]
    fn provider_needs_all_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let good = config(&folder);
        let refused =
            |config: OidcConfig, own: Option<&str>| format!("{:#}", Oidc::new(&config, own).unwrap_err());
        assert!(Oidc::new(&good, Some("http://127.0.0.1:8080")).unwrap().is_configured());
        assert!(!Oidc::new(&OidcConfig::default(), None).unwrap().is_configured());
        assert!(refused(good.clone(), None).contains("--oidc-public-url"));
        assert!(refused(good.clone(), Some("http://patch.example.org")).contains("https://"));
        let with = |change: fn(&mut OidcConfig)| {
            let mut config = good.clone();
            change(&mut config);
            refused(config, Some("https://patch.example.org"))
        };
        assert!(with(|it| it.oidc_client_id = None).contains("--oidc-client-id"));
        assert!(with(|it| it.oidc_roles_file = None).contains("--oidc-roles-file"));
        assert!(with(|it| it.oidc_issuer = Some("http://id.example.org".to_owned())).contains("https://"));
        assert!(
            with(|it| it.oidc_issuer = Some("https://a:b@id.example.org".to_owned())).contains("password")
        );
        assert!(with(|it| it.oidc_scopes = "profile".to_owned()).contains("`openid`"));
    }

    #[test]
    fn secret_is_in_no_error_and_no_debug_output() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hidden\nhidden\n").unwrap();
        let config = OidcConfig { oidc_client_secret_file: Some(file.clone()), ..config(&folder) };
        let refused = format!("{:#}", Oidc::new(&config, Some("https://p.example.org")).unwrap_err());
        assert!(refused.contains("secret") && !refused.contains("hidden"), "{refused}");
        std::fs::write(&file, "hidden\n").unwrap();
        let oidc = Oidc::new(&config, Some("https://p.example.org")).unwrap();
        assert!(!format!("{oidc:?}").contains("hidden"));
    }
}
