//! The two initial tokens of a platform: that of the administrator, and that of its services.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api_types::access::Role;
use chrono::{TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use service_kit::access;

use super::data_dir::failed;
use super::database;
use crate::private_file;
use terminal::Failure;

/// How long a token is accepted.
const VALID_FOR: TimeDelta = TimeDelta::days(365);
/// People copy it elsewhere, so it is renewed as late as is safe.
const RENEW_ADMIN_AFTER: Duration = Duration::from_secs(300 * 86_400);
/// Nobody outside uses it. After a renewal, a platform can run for eleven months without a restart.
const RENEW_SERVICE_AFTER: Duration = Duration::from_secs(30 * 86_400);

pub struct Token {
    pub secret: SecretString,
    pub is_new: bool,
}

pub fn admin_file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin-token")
}

pub fn admin(data_dir: &Path) -> Result<Token, Failure> {
    read_or_create(&admin_file(data_dir), RENEW_ADMIN_AFTER)
}

pub fn service(data_dir: &Path) -> Result<Token, Failure> {
    read_or_create(&data_dir.join("service-token"), RENEW_SERVICE_AFTER)
}

/// The file with the key that signs approval links. It is created once and kept, so that links stay valid after restarts.
pub fn approval_key_file(data_dir: &Path) -> Result<PathBuf, Failure> {
    created_once(data_dir, "approval-key")
}

/// The file with the key of webhooks. It is created once and kept, because every receiver has a secret that is derived from it.
pub fn webhook_key_file(data_dir: &Path) -> Result<PathBuf, Failure> {
    created_once(data_dir, "webhook-key")
}

/// The file with the secret that signs exported ends of audit chains.
pub fn audit_key_file(data_dir: &Path) -> Result<PathBuf, Failure> {
    created_once(data_dir, "audit-key")
}

/// Registers both tokens; a token that is already registered does not change.
pub async fn register(database_url: &SecretString, admin: &Token, service: &Token) -> Result<(), Failure> {
    let mut connection = database::connect(database_url).await?;
    let now = Utc::now();
    let subjects = [
        (admin, "admin".to_owned(), Role::Admin),
        (service, access::service_subject("platform"), Role::Service),
    ];
    for (token, subject, role) in subjects {
        let until = now + VALID_FOR;
        access::ensure_token(&mut connection, token.secret.expose_secret(), &subject, &[role], now, until)
            .await
            .map_err(|error| Failure::new(format!("cannot store the initial tokens: {error}")))?;
    }
    Ok(())
}

fn created_once(data_dir: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = data_dir.join(name);
    if !path.exists() {
        create(&path)?;
    }
    Ok(path)
}

fn read_or_create(path: &Path, renew_after: Duration) -> Result<Token, Failure> {
    let age = fs::metadata(path).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
    match fs::read_to_string(path) {
        Ok(text) if age.is_none_or(|age| age < renew_after) => {
            let secret = text.trim();
            if !secret.starts_with("pm_") {
                return Err(Failure::new(format!(
                    "`{}` does not contain a token (`pm_...`); remove the file to create a new one",
                    path.display()
                )));
            }
            Ok(Token { secret: SecretString::from(secret), is_new: false })
        }
        Ok(_) => create(path),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Writes the file atomically: a half-written token would lock everybody out.
fn create(path: &Path) -> Result<Token, Failure> {
    let secret = access::new_secret();
    private_file::replace(path, &format!("{secret}\n")).map_err(|error| failed("write", path, &error))?;
    Ok(Token { secret: SecretString::from(secret), is_new: true })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn token_is_created_once_and_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let (first, again) = (admin(root.path()).unwrap(), admin(root.path()).unwrap());
        assert!(first.is_new && !again.is_new);
        assert_eq!(first.secret.expose_secret(), again.secret.expose_secret());
        assert_eq!(fs::metadata(admin_file(root.path())).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn token_near_its_end_is_renewed() {
        let root = tempfile::tempdir().unwrap();
        let first = admin(root.path()).unwrap();
        let long_ago = std::time::SystemTime::now() - RENEW_ADMIN_AFTER - Duration::from_secs(60);
        let file = fs::OpenOptions::new().write(true).open(admin_file(root.path())).unwrap();
        file.set_modified(long_ago).unwrap();
        let renewed = admin(root.path()).unwrap();
        assert!(renewed.is_new && renewed.secret.expose_secret() != first.secret.expose_secret());
    }
}
