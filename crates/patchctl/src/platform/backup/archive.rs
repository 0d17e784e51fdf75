//! The archive: a tar file whose last entry is the manifest, with the checksum of every other. One that ends early has no manifest.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use super::manifest::{self, Manifest, Part};
use terminal::Failure;

/// Larger manifests are not read.
const MAX_MANIFEST: u64 = 64 << 20;

/// Writes an archive.
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
    parts: Vec<Part>,
}

impl<W: Write> Writer<W> {
    pub fn new(target: W) -> Self {
        Self { tar: tar::Builder::new(target), parts: Vec::new() }
    }

    /// Adds a file that does not change in the meantime.
    pub fn add(&mut self, name: &str, file: &Path) -> io::Result<()> {
        let source = File::open(file)?;
        let bytes = source.metadata()?.len();
        let mut source = Hashing::new(BufReader::new(source));
        self.tar.append_data(&mut header(bytes), name, &mut source)?;
        self.parts.push(Part { name: name.to_owned(), bytes, sha256: source.sha256() });
        Ok(())
    }

    /// Adds the manifest, which gets the parts, and returns what was written to.
    pub fn finish(mut self, manifest: &mut Manifest) -> io::Result<W> {
        manifest.parts = std::mem::take(&mut self.parts);
        let text = serde_json::to_vec_pretty(&manifest)?;
        self.tar.append_data(&mut header(text.len() as u64), manifest::NAME, text.as_slice())?;
        self.tar.into_inner()
    }
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header
}

/// Reads the whole archive and compares each part with the manifest. Writes nothing.
pub fn verify(file: &Path) -> Result<Manifest, Failure> {
    read(file, |_, source| io::copy(source, &mut io::sink()).map(drop))
}

/// The same, and writes the parts below `folder`.
pub fn extract(file: &Path, folder: &Path) -> Result<Manifest, Failure> {
    read(file, |name, source| {
        let target = folder.join(name);
        let parent = target.parent().unwrap_or(folder);
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&target)?;
        let mut file = BufWriter::new(file);
        io::copy(source, &mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    })
}

fn read(
    file: &Path,
    mut take: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<Manifest, Failure> {
    let shown = file.display();
    let opened = File::open(file).map_err(|error| Failure::new(format!("cannot read `{shown}`: {error}")))?;
    let mut archive = tar::Archive::new(BufReader::new(opened));
    let damaged = |after: &str, why: String| {
        Failure::new(format!("the backup `{shown}` is damaged after part `{after}`: {why}; use another one"))
    };
    let mut last = "(none)".to_owned();
    let mut found = BTreeMap::new();
    let mut manifest = None;
    let entries = archive.entries().map_err(|error| damaged(&last, error.to_string()))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(&last, error.to_string()))?;
        let name = entry.path().ok().as_deref().and_then(safe_name);
        let Some(name) = name.filter(|_| entry.header().entry_type().is_file()) else {
            return Err(damaged(&last, "the next part is not a file with a valid name".to_owned()));
        };
        if name == manifest::NAME {
            let mut text = Vec::new();
            let read = (&mut entry).take(MAX_MANIFEST).read_to_end(&mut text);
            read.map_err(|error| damaged(&last, error.to_string()))?;
            let parsed: Manifest = serde_json::from_slice(&text)
                .map_err(|error| damaged(&last, format!("its manifest: {error}")))?;
            manifest = Some(parsed);
            break;
        }
        let mut source = Hashing::new(&mut entry);
        take(&name, &mut source).map_err(|error| {
            Failure::new(format!("cannot unpack part `{name}` of the backup `{shown}`: {error}"))
        })?;
        let part = Part { name: name.clone(), bytes: source.bytes, sha256: source.sha256() };
        found.insert(name.clone(), part);
        last = name;
    }
    let Some(manifest) = manifest else {
        return Err(damaged(&last, "it ends early, without a manifest".to_owned()));
    };
    for part in &manifest.parts {
        match found.remove(&part.name) {
            Some(read) if read == *part => {}
            Some(_) => {
                return Err(Failure::new(format!(
                    "the backup `{shown}` is damaged: part `{}` does not have its checksum; use another one",
                    part.name
                )));
            }
            None => {
                return Err(Failure::new(format!(
                    "the backup `{shown}` is damaged: part `{}` is missing; use another one",
                    part.name
                )));
            }
        }
    }
    match found.into_keys().next() {
        None => Ok(manifest),
        Some(name) => Err(Failure::new(format!(
            "the backup `{shown}` is damaged: part `{name}` is not in its manifest; use another one"
        ))),
    }
}

/// The name of a part, which leads nowhere else than below the folder that it is unpacked to.
fn safe_name(path: &Path) -> Option<String> {
    let is_safe = path.components().all(|component| matches!(component, Component::Normal(_)));
    path.to_str().filter(|name| is_safe && !name.is_empty()).map(str::to_owned)
}

/// Computes the checksum of what is read through it.
struct Hashing<R> {
    source: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn new(source: R) -> Self {
        Self { source, hasher: Sha256::new(), bytes: 0 }
    }

    fn sha256(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Copies a file or a folder with everything in it. What disappears in the meantime is left out, as are links and sockets.
pub fn copy_settled(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(from) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(to)?;
        let entries = match fs::read_dir(from) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            copy_settled(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if metadata.is_file() {
        let mut source = match File::open(from) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut target = OpenOptions::new().create_new(true).write(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut target)?;
    }
    Ok(())
}

/// The files below a folder, by their names from there, in the order of their names.
pub fn list_files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(folder).ok().and_then(|name| name.to_str());
            let unreadable = || io::Error::other(format!("`{}` is not a name in UTF-8", path.display()));
            names.push(name.ok_or_else(unreadable)?.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
