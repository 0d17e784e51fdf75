//! `<data dir>/tls`: an authority of this platform alone, and the certificate that it issues to the services.
//!
//! The services and playbooks trust it because the process starts again with `SSL_CERT_FILE`: a list of the authorities of the machine
//! and this one, which all its clients read.

use std::env;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::{Datelike, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use service_kit::tls::{TlsConfig, Transport};

use super::data_dir::failed;
use terminal::Failure;

const AUTHORITY_YEARS: i32 = 10;
const CERTIFICATE_YEARS: i32 = 1;
/// A certificate that is older is issued again at a start. A platform can run for two months more without one.
const RENEW_AFTER: Duration = Duration::from_secs(300 * 86_400);
/// Where distributions keep the authorities that a machine trusts.
const LISTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
const TRUSTED: &str = "SSL_CERT_FILE";

pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub fn of(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("tls") }
    }

    /// Whether the platform of this data folder speaks TLS.
    pub fn exists(&self) -> bool {
        self.file().exists()
    }

    /// The certificate that clients must trust.
    pub fn file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// What the listeners speak.
    pub fn transport(&self) -> Result<Transport, Failure> {
        let config = TlsConfig {
            tls_certificate_file: Some(self.certificate()),
            tls_key_file: Some(self.key()),
            allow_plain_http: false,
        };
        Transport::new(&config).map_err(|error| Failure::new(format!("{error:#}")))
    }

    /// Makes the authority once, and a certificate if there is none or it is old.
    pub fn ensure(&self, bind: IpAddr) -> Result<(), Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| failed("create", &self.folder, &error))?;
        if !self.exists() {
            self.make_authority()?;
        }
        let age = fs::metadata(self.certificate()).and_then(|file| file.modified()).ok();
        let age = age.and_then(|at| at.elapsed().ok());
        if age.is_none_or(|age| age > RENEW_AFTER) {
            self.issue(bind)?;
        }
        Ok(())
    }

    /// Starts this program again so that all its clients trust the authority, unless they do.
    pub fn restart_trusting(&self) -> Result<(), Failure> {
        let list = self.folder.join("trusted.pem");
        let given = env::var_os(TRUSTED).map(PathBuf::from);
        if given.as_ref() == Some(&list) {
            return Ok(());
        }
        let known = LISTS.iter().map(PathBuf::from).find(|file| file.exists());
        let mut text = match given.or(known) {
            Some(file) => fs::read(&file).map_err(|error| failed("read", &file, &error))?,
            None => Vec::new(),
        };
        let own = self.file();
        text.push(b'\n');
        text.extend(fs::read(&own).map_err(|error| failed("read", &own, &error))?);
        write(&list, &text, 0o644)?;
        let program = env::current_exe()
            .map_err(|error| Failure::new(format!("this program is not found: {error}")))?;
        let error = Command::new(program).args(env::args_os().skip(1)).env(TRUSTED, &list).exec();
        Err(Failure::new(format!("this program cannot start again with {TRUSTED}: {error}")))
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    fn make_authority(&self) -> Result<(), Failure> {
        let key = KeyPair::generate().map_err(unmade)?;
        let certificate = authority_params().and_then(|params| params.self_signed(&key)).map_err(unmade)?;
        write(&self.folder.join("authority-key.pem"), key.serialize_pem().as_bytes(), 0o600)?;
        // Last: it shows that the others are there.
        write(&self.file(), certificate.pem().as_bytes(), 0o644)
    }

    fn issue(&self, bind: IpAddr) -> Result<(), Failure> {
        let file = self.folder.join("authority-key.pem");
        let pem = fs::read_to_string(&file).map_err(|error| failed("read", &file, &error))?;
        let issuer_key = KeyPair::from_pem(&pem).map_err(unmade)?;
        let issuer = Issuer::new(authority_params().map_err(unmade)?, issuer_key);
        let key = KeyPair::generate().map_err(unmade)?;
        let mut params = CertificateParams::new(names(bind)).map_err(unmade)?;
        params.distinguished_name.push(DnType::CommonName, "patch-manager");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        last(&mut params, CERTIFICATE_YEARS);
        let certificate = params.signed_by(&key, &issuer).map_err(unmade)?;
        write(&self.key(), key.serialize_pem().as_bytes(), 0o600)?;
        write(&self.certificate(), certificate.pem().as_bytes(), 0o644)
    }
}

/// The same at every call: a certificate is issued by this name.
fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "patch-manager: authority of this platform");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    last(&mut params, AUTHORITY_YEARS);
    Ok(params)
}

/// From yesterday on, for clocks that are behind.
fn last(params: &mut CertificateParams, years: i32) {
    let from = Utc::now() - TimeDelta::days(1);
    let month = u8::try_from(from.month()).unwrap_or(1);
    // Every month has 28 days.
    let day = u8::try_from(from.day()).unwrap_or(1).min(28);
    params.not_before = date_time_ymd(from.year(), month, day);
    params.not_after = date_time_ymd(from.year() + years, month, day);
}

/// What this machine is called, by itself and by others.
fn names(bind: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !bind.is_unspecified() && !bind.is_loopback() {
        names.push(bind.to_string());
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !host.is_empty() && host.chars().all(is_name) {
        names.push(host.to_owned());
    }
    names
}

fn unmade(error: rcgen::Error) -> Failure {
    Failure::new(format!("a certificate cannot be made: {error}"))
}

/// Writes the file as a whole: a half-written one would stop the next start.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let fresh = path.with_extension("new");
    let written = || -> io::Result<()> {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    written().map_err(|error| failed("write", path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn authority_is_made_once_and_its_keys_are_closed_to_others() {
        let root = tempfile::tempdir().unwrap();
        let authority = Authority::of(root.path());
        assert!(!authority.exists());
        let bind: IpAddr = "127.0.0.1".parse().unwrap();
        authority.ensure(bind).unwrap();
        let made = fs::read(authority.file()).unwrap();
        authority.ensure(bind).unwrap();
        assert_eq!(fs::read(authority.file()).unwrap(), made);
        for name in ["key.pem", "authority-key.pem"] {
            let mode = fs::metadata(root.path().join("tls").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert!(matches!(authority.transport().unwrap(), Transport::Tls(_)));
    }

    #[test]
    fn old_certificate_is_issued_again_by_the_same_authority() {
        let root = tempfile::tempdir().unwrap();
        let authority = Authority::of(root.path());
        let bind: IpAddr = "10.0.0.5".parse().unwrap();
        authority.ensure(bind).unwrap();
        let (made, first) = (fs::read(authority.file()).unwrap(), fs::read(authority.certificate()).unwrap());
        let long_ago = std::time::SystemTime::now() - RENEW_AFTER - Duration::from_secs(60);
        let file = OpenOptions::new().write(true).open(authority.certificate()).unwrap();
        file.set_modified(long_ago).unwrap();
        authority.ensure(bind).unwrap();
        assert_ne!(fs::read(authority.certificate()).unwrap(), first);
        assert_eq!(fs::read(authority.file()).unwrap(), made);
        assert!(names(bind).contains(&"10.0.0.5".to_owned()));
    }
}
