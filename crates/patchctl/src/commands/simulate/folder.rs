//! Where the files of a simulation go.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use domain::strategy::Strategy;
use simulator::plot::PlotError;

use crate::failure::Failure;

pub struct Folder(PathBuf);

impl Folder {
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("cannot create `{}`: {error}", path.display()));
        fs::create_dir_all(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    /// The place of one strategy's files: this folder itself when there is only one strategy.
    pub fn of(&self, strategy: Strategy, alone: bool) -> Result<Self, Failure> {
        if alone { Ok(Self(self.0.clone())) } else { Self::create(&self.0.join(strategy.name())) }
    }

    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.0.join(name);
        fs::write(&path, text)
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))
    }

    pub fn draw(&self, name: &str, svg: Result<String, PlotError>) -> Result<(), Failure> {
        let svg = svg.map_err(|error| Failure::new(format!("cannot draw `{name}`: {error}")))?;
        self.write(name, &svg)
    }

    /// Files that an earlier simulation left must not pass for this one's.
    pub fn remove(&self, names: &[&str]) -> Result<(), Failure> {
        for path in names.iter().map(|name| self.0.join(name)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Failure::new(format!("cannot remove `{}`: {error}", path.display())));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
