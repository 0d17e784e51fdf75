//! The certificate and key of a listener, as they are in the files now.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::SystemTime,
};

use anyhow::Context as _;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// When the two files were written, and their sizes: what tells that they were replaced.
type Marks = [Option<(SystemTime, u64)>; 2];

pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<(Marks, Arc<CertifiedKey>)>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Certificates {
    pub fn read(certificate: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let marks = marks(&certificate, &key);
        let current = RwLock::new((marks, Arc::new(load(&certificate, &key)?)));
        Ok(Self { certificate, key, current })
    }

    /// Reads the files if they have changed. `false` if they have not. What cannot be used is reported once.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let now = marks(&self.certificate, &self.key);
        if now == self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).0 {
            return Ok(false);
        }
        let loaded = load(&self.certificate, &self.key);
        let mut current = self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        current.0 = now;
        current.1 = Arc::new(loaded?);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).1.clone())
    }
}

fn marks(certificate: &Path, key: &Path) -> Marks {
    [certificate, key].map(|file| {
        let found = fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

/// The key must be that of the certificate.
fn load(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let unreadable =
        |what: &str, file: &Path| format!("the TLS {what} cannot be read from `{}`", file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| unreadable("certificate", certificate))?;
    anyhow::ensure!(!chain.is_empty(), "`{}` contains no certificate in PEM", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable("key", key))?;
    CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).with_context(|| {
        format!(
            "the TLS certificate in `{}` and the key in `{}` do not fit",
            certificate.display(),
            key.display()
        )
    })
}
