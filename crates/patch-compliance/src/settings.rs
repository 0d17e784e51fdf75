//! Settings of inventory, policies and feeds.

use std::path::PathBuf;

use domain::time::Crontab;
use reqwest::Url;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Address of the CMDB.
    #[arg(long, env = "CMDB_URL", default_value = "http://127.0.0.1:8081")]
    pub cmdb_url: String,

    /// Folder for feeds that are being imported, and for inventories, results and logs of playbooks.
    #[arg(long, env = "PATCH_WORK_DIR", default_value = "/var/lib/patch-manager/work")]
    pub work_dir: PathBuf,

    /// Folder of the programs that policies may name as maintenance hooks; they run as this service. Without it, policies
    /// with hooks are refused.
    #[arg(long, env = "PATCH_HOOKS_DIR")]
    pub hooks_dir: Option<PathBuf>,

    /// Programs that policies may run as root on hosts instead of the platform's own update, comma-separated paths. Without it,
    /// such policies and `updateCommand` are refused.
    #[arg(long = "update-program", env = "PATCH_UPDATE_PROGRAMS", value_delimiter = ',')]
    pub update_programs: Vec<String>,

    /// Fetched feeds, endpoints of customers and deployers, Vaults of runs and addresses of drain checks that are allowed although they are on a
    /// private network or an unusual port: `host` or `host:port`, comma-separated. `{host}:port` allows the managed hosts.
    #[arg(long, env = "PATCH_ALLOW_OUTBOUND_TO", value_delimiter = ',')]
    pub allow_outbound_to: Vec<String>,

    /// The same for webhooks that receive messages. ITSM delivers them and has the same setting.
    #[arg(long, env = "ALLOW_WEBHOOK_TO", value_delimiter = ',')]
    pub allow_webhook_to: Vec<String>,

    #[command(flatten)]
    pub feeds: FeedSettings,
}

/// Feeds of advisories that the service imports itself.
#[derive(Debug, Clone, clap::Args)]
pub struct FeedSettings {
    /// Folder whose feeds are imported when they appear or change; not set by default.
    #[arg(long, env = "PATCH_FEEDS_DIR")]
    pub feeds_dir: Option<PathBuf>,

    /// Five-field crontab expression in UTC: checks the folder only at these times, instead of continuously.
    #[arg(long, env = "PATCH_FEEDS_SCHEDULE")]
    pub feeds_schedule: Option<Crontab>,

    /// Address before which the host and path of every fetched feed is put, for networks without internet:
    /// `https://mirror.example/feeds` turns `https://vendor.example/all.zip` into `https://mirror.example/feeds/vendor.example/all.zip`.
    #[arg(long, env = "PATCH_FEED_MIRROR")]
    pub feed_mirror: Option<String>,

    /// HTTP proxy for fetched feeds, `http://proxy.example:3128`; it resolves their names.
    #[arg(long, env = "PATCH_FEED_PROXY")]
    pub feed_proxy: Option<String>,

    /// Maximum size of a feed in bytes, as it is sent.
    #[arg(long, env = "PATCH_FEED_MAX_BYTES", default_value_t = FeedSettings::MAX_BYTES)]
    pub feed_max_bytes: u64,
}

impl FeedSettings {
    const MAX_BYTES: u64 = 256 << 20;

    /// Refuses a mirror or a proxy with which every feed would fail.
    pub fn check(&self) -> anyhow::Result<()> {
        let given = [("--feed-mirror", &self.feed_mirror), ("--feed-proxy", &self.feed_proxy)];
        for (name, address) in given {
            let Some(address) = address else { continue };
            let url = Url::parse(address).ok().filter(|url| {
                ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none()
            });
            // A proxy may have a password.
            anyhow::ensure!(
                url.is_some(),
                "`{name}` must be an `http://` or `https://` address without a query"
            );
        }
        Ok(())
    }
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            feeds_dir: None,
            feeds_schedule: None,
            feed_mirror: None,
            feed_proxy: None,
            feed_max_bytes: Self::MAX_BYTES,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cmdb_url: "http://127.0.0.1:8081".to_owned(),
            work_dir: "/var/lib/patch-manager/work".into(),
            hooks_dir: None,
            update_programs: Vec::new(),
            allow_outbound_to: Vec::new(),
            allow_webhook_to: Vec::new(),
            feeds: FeedSettings::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_and_proxy_that_cannot_work_are_refused_at_the_start_without_their_secrets() {
        let with = |mirror: Option<&str>, proxy: Option<&str>| FeedSettings {
            feed_mirror: mirror.map(str::to_owned),
            feed_proxy: proxy.map(str::to_owned),
            ..FeedSettings::default()
        };
        assert!(
            with(Some("https://mirror.example/feeds"), Some("http://u:hunter2@proxy:3128")).check().is_ok()
        );
        for wrong in [
            with(Some("mirror.example"), None),
            with(Some("https://m/?a=b"), None),
            with(None, Some("socks5://u:hunter2@proxy")),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains("--feed-") && !error.contains("hunter2"), "{error}");
        }
    }
}
