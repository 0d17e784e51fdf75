//! Backup and restore of a platform: its database, its keys and its work folder in one file.

mod archive;
mod manifest;
mod programs;
mod restore;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use chrono::Utc;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

pub use manifest::Manifest;
pub use restore::{RestoreConfig, restore};

use super::data_dir::{self, DataDir, failed};
use super::database::{self, Database};
use programs::Programs;
use terminal::Failure;

/// The part with the dump of the database.
const DUMP: &str = "database.dump";
/// What is kept of the data folder; `postgres` is in the dump.
const KEPT: [&str; 8] =
    ["admin-token", "service-token", "approval-key", "webhook-key", "audit-key", "audit-heads", "tls", WORK];
const WORK: &str = "work";

#[derive(Debug)]
pub struct BackupConfig {
    pub data_dir: PathBuf,
    /// PostgreSQL of the operator; without it, the private one.
    pub database_url: Option<SecretString>,
    pub file: PathBuf,
}

/// Writes a backup, also while the platform works. The file appears when it is complete.
pub async fn back_up(config: &BackupConfig) -> Result<Manifest, Failure> {
    let BackupConfig { data_dir, file, .. } = config;
    if file.exists() {
        return Err(Failure::new(format!("`{}` exists already; choose another name", file.display())));
    }
    if !data_dir::is_used(data_dir) {
        return Err(Failure::new(format!(
            "there is no platform in `{}`; choose its data folder with --data-dir",
            data_dir.display()
        )));
    }
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable =
        |error: io::Error| Failure::new(format!("cannot write in `{}`: {error}", parent.display()));
    let staging = tempfile::Builder::new().prefix(".patch-backup-").tempdir_in(parent).map_err(unwritable)?;
    let source = Source::open(config).await?;
    let dumped = dump(&source, &staging.path().join(DUMP)).await;
    source.close().await;
    let mut manifest = dumped?;
    let (data_dir, file, folder) = (data_dir.clone(), file.clone(), staging.path().to_owned());
    let written = tokio::task::spawn_blocking(move || {
        write(&data_dir, &folder, &file, &mut manifest).map(|()| manifest).map_err(|error| {
            Failure::new(format!("the backup `{}` cannot be written: {error}", file.display()))
        })
    });
    written.await.map_err(|_| Failure::new("the backup could not be written"))?
}

/// The database to dump, and the programs for its version.
struct Source {
    url: SecretString,
    programs: Programs,
    /// The private server, if it was started for the backup.
    started: Option<(Database, DataDir)>,
}

impl Source {
    async fn open(config: &BackupConfig) -> Result<Self, Failure> {
        if let Some(url) = &config.database_url {
            let programs = Programs::new(local_postgres::find_bin_dir()?, url)?;
            return Ok(Self { url: url.clone(), programs, started: None });
        }
        let data_dir = std::path::absolute(&config.data_dir)
            .map_err(|error| failed("find", &config.data_dir, &error))?;
        let folder = data_dir.join("postgres");
        let bin_dir = local_postgres::find_bin_dir_of(&folder)?;
        if data_dir::is_running(&data_dir) {
            let url = SecretString::from(local_postgres::socket_url(&folder, "postgres"));
            return Ok(Self { programs: Programs::new(bin_dir, &url)?, url, started: None });
        }
        let data_dir = DataDir::open(&data_dir, true)?;
        let database = Database::open(None, &folder).await?;
        let url = database.url().clone();
        Ok(Self { programs: Programs::new(bin_dir, &url)?, url, started: Some((database, data_dir)) })
    }

    async fn close(self) {
        if let Some((database, _data_dir)) = self.started {
            database.stop().await;
        }
    }
}

/// Dumps all schemas as they are at one instant, and says what they are.
async fn dump(source: &Source, target: &Path) -> Result<Manifest, Failure> {
    let mut connection = database::connect(&source.url).await?;
    let unread = |error: sqlx::Error| Failure::new(format!("cannot read the database: {error}"));
    execute(&mut connection, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(unread)?;
    let snapshot: String =
        sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(&mut connection).await.map_err(unread)?;
    let manifest = describe(&mut connection).await.map_err(unread)?;
    if !manifest.migrations.contains_key("patch") {
        return Err(Failure::new("the database has no platform; correct --database-url or DATABASE_URL"));
    }
    let mut arguments: Vec<OsString> =
        ["--format=custom", "--no-owner", "--no-privileges", "--no-password", "--lock-wait-timeout=60000"]
            .map(OsString::from)
            .into();
    arguments.push(format!("--snapshot={snapshot}").into());
    arguments.extend(manifest.migrations.keys().map(|schema| format!("--schema={schema}").into()));
    let mut file = OsString::from("--file=");
    file.push(target);
    arguments.push(file);
    source.programs.run("pg_dump", &arguments).await?;
    // The transaction ends with its connection.
    drop(connection);
    Ok(manifest)
}

async fn describe(connection: &mut PgConnection) -> sqlx::Result<Manifest> {
    let mut manifest = Manifest {
        format: manifest::FORMAT,
        data_format: data_dir::FORMAT,
        made_at: Utc::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        postgres: sqlx::query_scalar("SHOW server_version").fetch_one(&mut *connection).await?,
        installation: None,
        epoch: None,
        migrations: Default::default(),
        parts: Vec::new(),
    };
    for (schema, table, _) in manifest::schemas() {
        if let Some(version) = find_migration(connection, table).await? {
            manifest.migrations.insert(schema.to_owned(), version);
        }
    }
    if has_table(connection, "patch.installation").await? {
        let identity: Option<(Uuid, i64)> =
            sqlx::query_as("SELECT id, epoch FROM patch.installation").fetch_optional(connection).await?;
        (manifest.installation, manifest.epoch) = identity.unzip();
    }
    Ok(manifest)
}

/// The newest migration in a table of migrations, if there is one.
async fn find_migration(connection: &mut PgConnection, table: &'static str) -> sqlx::Result<Option<i64>> {
    if !has_table(connection, table).await? {
        return Ok(None);
    }
    let newest = format!("SELECT max(version) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(newest)).fetch_one(connection).await
}

async fn has_table(connection: &mut PgConnection, table: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(connection).await
}

async fn execute(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(connection).await.map(drop)
}

/// The work folder of the platform: that of the environment, as at its start.
fn work_folder(data_dir: &Path) -> PathBuf {
    env::var_os("PATCH_WORK_DIR").map_or_else(|| data_dir.join(WORK), PathBuf::from)
}

/// Writes the archive next to its place, and puts it there when it is complete.
fn write(data_dir: &Path, staging: &Path, file: &Path, manifest: &mut Manifest) -> io::Result<()> {
    let copies = staging.join("files");
    fs::create_dir(&copies)?;
    for name in KEPT {
        let from = if name == WORK { work_folder(data_dir) } else { data_dir.join(name) };
        archive::copy_settled(&from, &copies.join(name))?;
    }
    let unfinished = staging.join("archive");
    let mut writer = archive::Writer::new(create(&unfinished)?);
    writer.add(DUMP, &staging.join(DUMP))?;
    for name in archive::list_files(&copies)? {
        writer.add(&name, &copies.join(&name))?;
    }
    writer.finish(manifest)?.sync_all()?;
    // Nobody may have made one of that name in the meantime.
    fs::hard_link(&unfinished, file)?;
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
}
