//! The output folder of a simulation.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use domain::strategy::Strategy;
use simulator::plot::PlotError;

use terminal::Failure;

pub struct Folder(PathBuf);

impl Folder {
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("cannot create `{}`: {error}", path.display()));
        fs::create_dir_all(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    /// The folder for the files of one strategy: this folder itself when there is only one strategy.
    pub fn of(&self, strategy: Strategy, is_only: bool) -> Result<Self, Failure> {
        if is_only { Ok(Self(self.0.clone())) } else { Self::create(&self.0.join(strategy.name())) }
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

    /// Removes files of an earlier simulation, so that nobody takes them for the files of this one.
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
