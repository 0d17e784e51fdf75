//! Puts a backup back. Everything that can refuse it is checked before anything changes; then files and database change together.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use sqlx::PgConnection;
use tokio::task::spawn_blocking;

use super::{DUMP, KEPT, Manifest, WORK, archive, data_dir, has_table, manifest, work_folder};
use crate::platform::backup::programs::Programs;
use crate::platform::data_dir::{DataDir, failed};
use crate::platform::database::{self, Database};
use terminal::Failure;

#[derive(Debug)]
pub struct RestoreConfig {
    pub data_dir: PathBuf,
    /// PostgreSQL of the operator; without it, the private one.
    pub database_url: Option<SecretString>,
    pub file: PathBuf,
    /// Whether what is there may be replaced.
    pub replace: bool,
}

/// Restores a backup. Afterwards the platform starts with its open runs paused, until an administrator confirms.
pub async fn restore(config: &RestoreConfig) -> Result<Manifest, Failure> {
    let file = config.file.clone();
    let manifest = blocking(move || archive::verify(&file)).await?;
    manifest.check()?;
    if data_dir::is_running(&config.data_dir) {
        return Err(Failure::new(format!(
            "the platform in `{}` runs; stop it first",
            config.data_dir.display()
        )));
    }
    if data_dir::is_used(&config.data_dir) && !config.replace {
        return Err(not_empty(format!("the data folder `{}` has a platform", config.data_dir.display())));
    }
    if let Some(url) = &config.database_url {
        check_database(&mut database::connect(url).await?, config.replace).await?;
    }
    let data_dir = DataDir::open(&config.data_dir, config.database_url.is_none())?;
    let folder = data_dir.path().join("postgres");
    let database = Database::open(config.database_url.as_ref(), &folder).await?;
    let restored = put_back(config, &data_dir, &database, &manifest).await;
    database.stop().await;
    restored.map(|()| manifest)
}

fn not_empty(what: String) -> Failure {
    Failure::new(format!("{what}, which a restore would replace"))
        .hint("replace it with --replace, or restore to another place")
}

/// Refuses a database that somebody works with, or that has something in it.
async fn check_database(connection: &mut PgConnection, replace: bool) -> Result<(), Failure> {
    let unread = |error: sqlx::Error| Failure::new(format!("cannot read the database: {error}"));
    let mut has_platform = false;
    for (_, table, _) in manifest::schemas() {
        has_platform |= has_table(connection, table).await.map_err(unread)?;
    }
    if has_platform && !replace {
        return Err(not_empty("the database has a platform".to_owned()));
    }
    if has_table(connection, "leases.workers").await.map_err(unread)? {
        let works: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM leases.workers WHERE lease_until > clock_timestamp())",
        )
        .fetch_one(connection)
        .await
        .map_err(unread)?;
        if works {
            return Err(Failure::new(
                "a platform works with this database; stop all of its services first (one that was killed counts for a minute)",
            ));
        }
    }
    Ok(())
}

async fn put_back(
    config: &RestoreConfig,
    data_dir: &DataDir,
    database: &Database,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let bin_dir = match config.database_url {
        Some(_) => local_postgres::find_bin_dir()?,
        None => local_postgres::find_bin_dir_of(&data_dir.path().join("postgres"))?,
    };
    let programs = Programs::new(bin_dir, database.url())?;
    let staging = data_dir.path().join("restore.new");
    let old = data_dir.path().join("restore.old");
    for folder in [&staging, &old] {
        make_empty(folder).map_err(|error| failed("create", folder, &error))?;
    }
    let result = async {
        let (file, target) = (config.file.clone(), staging.clone());
        blocking(move || archive::extract(&file, &target)).await?;
        let script = write_scripts(&programs, &staging, manifest).await?;
        let moved = move_files(data_dir.path(), &staging, &old)?;
        let done = programs.run("psql", &script).await;
        if done.is_err() {
            undo(&moved);
        }
        done
    }
    .await;
    let _ = fs::remove_dir_all(&staging);
    if result.is_ok() {
        let _ = fs::remove_dir_all(&old);
    } else {
        // Empty, unless something could not be moved back.
        let _ = fs::remove_dir(&old);
    }
    result
}

/// Writes what replaces the database, and returns the arguments that do so in one transaction.
async fn write_scripts(
    programs: &Programs,
    staging: &Path,
    manifest: &Manifest,
) -> Result<Vec<OsString>, Failure> {
    let path = |name: &str| staging.join(name);
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    let (before, script, after) = (path("before.sql"), path("database.sql"), path("after.sql"));
    let convert = [
        OsString::from("--no-owner"),
        OsString::from("--no-privileges"),
        option("--file=", &script),
        path(DUMP).into_os_string(),
    ];
    programs.run("pg_restore", &convert).await?;
    let mut drops = String::from("SET client_min_messages = warning;\n");
    for (schema, ..) in manifest::schemas() {
        drops.push_str(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE;\n"));
    }
    // The time is formatted here, so that no text of the archive becomes SQL.
    let hold = format!(
        "INSERT INTO patch.installation (id, held_since, held_cause, held_detail)\n\
         VALUES (gen_random_uuid(), now(), 'restored', 'the backup of {} was restored')\n\
         ON CONFLICT (single) DO UPDATE SET held_since = excluded.held_since, held_cause = excluded.held_cause,\n\
         held_detail = excluded.held_detail;\n",
        manifest.made_at.format("%Y-%m-%dT%H:%M:%SZ")
    );
    for (file, text) in [(&before, &drops), (&after, &hold)] {
        fs::write(file, text).map_err(|error| failed("write", file, &error))?;
    }
    let mut arguments: Vec<OsString> =
        ["--no-psqlrc", "--quiet", "--no-password", "--single-transaction", "--set=ON_ERROR_STOP=1"]
            .map(OsString::from)
            .into();
    arguments.extend([&before, &script, &after].map(|file| option("--file=", file)));
    Ok(arguments)
}

/// A move that was made, and can be undone.
struct Moved {
    from: PathBuf,
    to: PathBuf,
}

/// Puts the files of the backup in the place of those that are there. Undoes all of it if one cannot be moved.
fn move_files(data_dir: &Path, staging: &Path, old: &Path) -> Result<Vec<Moved>, Failure> {
    let mut moved = Vec::new();
    for name in KEPT {
        let place = if name == WORK { work_folder(data_dir) } else { data_dir.join(name) };
        for (from, to) in [(place.clone(), old.join(name)), (staging.join(name), place)] {
            match fs::rename(&from, &to) {
                Ok(()) => moved.push(Moved { from, to }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    undo(&moved);
                    return Err(failed("move", &from, &error));
                }
            }
        }
    }
    Ok(moved)
}

fn undo(moved: &[Moved]) {
    for Moved { from, to } in moved.iter().rev() {
        if let Err(error) = fs::rename(to, from) {
            terminal::note(&format!("cannot move `{}` back to `{}`: {error}", to.display(), from.display()));
        }
    }
}

fn make_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(folder)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    spawn_blocking(work).await.map_err(|_| Failure::new("the backup could not be read"))?
}
