use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};

use super::apt::{Apt, as_root};
use super::say;

/// By default, Debian's package creates and starts a cluster on port 5432, which is not needed here.
const CLUSTER_POLICY: &str = "/etc/postgresql-common/createcluster.conf";
const NO_MAIN_CLUSTER: &str = "# Written before PostgreSQL was installed for private clusters, which are started by their owners:\n\
                               # the package itself makes and starts none.\n\
                               create_main_cluster = false\n";

pub fn ensure(apt: &mut Apt) -> anyhow::Result<String> {
    if local_postgres::find_bin_dir().is_err() {
        if std::env::var_os("PG_BINDIR").is_some_and(|dir| !dir.is_empty()) {
            bail!("PG_BINDIR is set, but holds no PostgreSQL server; correct or unset it");
        }
        say("PostgreSQL is missing");
        forbid_main_cluster()?;
        apt.install(&["postgresql"])?;
    }
    let bin_dir = local_postgres::find_bin_dir()?;
    Ok(format!("PostgreSQL in {}", bin_dir.display()))
}

fn forbid_main_cluster() -> anyhow::Result<()> {
    if Path::new(CLUSTER_POLICY).exists() {
        return Ok(());
    }
    let script = format!("mkdir -p /etc/postgresql-common && cat > {CLUSTER_POLICY}");
    let mut child = as_root("sh")?
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot write `{CLUSTER_POLICY}`"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(NO_MAIN_CLUSTER.as_bytes())?;
    }
    if !child.wait()?.success() {
        bail!("cannot write `{CLUSTER_POLICY}`; run `sudo -v` or become root, then try again");
    }
    Ok(())
}
