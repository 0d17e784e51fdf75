//! Dumps and restores with the programs of PostgreSQL, as any administrator makes them.

use std::{path::Path, process::Command};

use sqlx::{Connection, PgConnection};

/// Dumps the database at `url` into a file, in the custom format.
pub async fn dump(url: &str, file: &Path) {
    let mut command = program("pg_dump");
    command.args(["--format=custom", "--file"]).arg(file).args(["--dbname", url]);
    finish(command).await;
}

/// Puts a dump back into the database at `url`, in place of what is there.
pub async fn restore(url: &str, file: &Path) {
    let mut connection = PgConnection::connect(url).await.expect("the test server answers");
    let drop = "DROP SCHEMA IF EXISTS platform, cmdb, itsm, sim, patch, leases CASCADE";
    sqlx::query(drop).execute(&mut connection).await.expect("the schemas are dropped");
    connection.close().await.ok();
    let mut command = program("pg_restore");
    command.args(["--no-owner", "--exit-on-error", "--dbname", url]).arg(file);
    finish(command).await;
}

fn program(name: &str) -> Command {
    Command::new(local_postgres::find_bin_dir().expect("the programs of PostgreSQL").join(name))
}

async fn finish(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
