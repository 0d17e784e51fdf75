//! All hosts of one sim-engine: their folder, their network, their package repositories.
//!
//! Outside its folder a fleet has a bridge, its links and a cgroup, all named by the number of its network. Mounts and
//! namespaces end with the processes in the cgroup. The alias of the bridge is the folder, so that the remains of a fleet
//! whose folder was deleted can be found and removed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use api_types::sim::HostImage;
use domain::ids::CiId;

use super::{
    FleetError,
    cgroup::Cgroup,
    command::{quick, run},
    files,
    host::Host,
    network::{self, Network},
    preflight,
};

/// Building the images takes half a minute with a near mirror.
const IMAGES_TIMEOUT: Duration = Duration::from_secs(1800);
const REPOSITORY_PORT: u16 = 8077;
const REPOSITORY_TIMEOUT: Duration = Duration::from_secs(20);

/// The scripts, written into the folder when a fleet is opened.
const SCRIPTS: [(&str, &str); 13] = [
    ("images.sh", include_str!("scripts/images.sh")),
    ("common.sh", include_str!("scripts/common.sh")),
    ("packages.sh", include_str!("scripts/packages.sh")),
    ("debian.sh", include_str!("scripts/debian.sh")),
    ("layers.sh", include_str!("scripts/layers.sh")),
    ("rocky.sh", include_str!("scripts/rocky.sh")),
    ("leap.sh", include_str!("scripts/leap.sh")),
    ("brownfield.sh", include_str!("scripts/brownfield.sh")),
    ("fault", include_str!("scripts/fault")),
    ("supervise.sh", include_str!("scripts/supervise.sh")),
    ("boot.sh", include_str!("scripts/boot.sh")),
    ("fill.sh", include_str!("scripts/fill.sh")),
    ("snapshot.sh", include_str!("scripts/snapshot.sh")),
];

#[derive(Debug)]
pub struct Fleet {
    folder: PathBuf,
    /// Of all fleets of this machine.
    cache: PathBuf,
    images: PathBuf,
    cgroups: Cgroup,
}

impl Fleet {
    /// Opens the fleet in `folder`, with images from `cache`. Missing images are built, which can take minutes.
    pub fn open(folder: &Path, cache: &Path) -> Result<Self, FleetError> {
        let folder = std::path::absolute(folder).map_err(FleetError::file("found", folder))?;
        preflight::check(&folder)?;
        let cgroups = Cgroup::of_machine()?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join("hosts"))
            .map_err(FleetError::file("created", &folder))?;
        // It contains private keys, and may have existed before with another mode.
        files::set_mode(&folder, 0o700)?;
        write_scripts(&folder.join("scripts"))?;
        let images = build(Command::new("bash").arg(folder.join("scripts/images.sh")).arg(cache))?;
        let fleet = Self { folder, cache: cache.to_path_buf(), images, cgroups };
        if !fleet.key_file().exists() {
            make_key(&fleet.key_file(), "patch-fleet")?;
        }
        fleet.remove_orphans()?;
        if !fleet.hosts()?.is_empty() {
            let _lock = fleet.lock()?;
            fleet.set_up_network()?;
        }
        Ok(fleet)
    }

    pub fn host(&self, id: &CiId) -> Host<'_> {
        Host::new(self, id)
    }

    /// Ids of the hosts that have a folder.
    pub fn hosts(&self) -> Result<BTreeSet<CiId>, FleetError> {
        let folder = self.hosts_folder();
        let entries = fs::read_dir(&folder).map_err(FleetError::file("read", &folder))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| CiId::new(name).ok()).collect())
    }

    pub fn hosts_folder(&self) -> PathBuf {
        self.folder.join("hosts")
    }

    pub fn scripts(&self) -> PathBuf {
        self.folder.join("scripts")
    }

    /// The images of a kind. Those of brownfield hosts are built for the first of them.
    pub fn images(&self, image: HostImage) -> Result<PathBuf, FleetError> {
        match image {
            HostImage::Laboratory => Ok(self.images.clone()),
            HostImage::Brownfield => {
                let script = self.scripts().join("brownfield.sh");
                build(Command::new("bash").arg(script).arg(&self.cache).arg(&self.images))
            }
        }
    }

    /// The private key for all hosts. Only the sim-engine's user can read it.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    pub fn cgroup(&self, network: Network) -> Cgroup {
        self.cgroups.child(&network.bridge())
    }

    /// Locks what all hosts share.
    pub fn lock(&self) -> Result<File, FleetError> {
        files::lock(&self.folder.join("lock"))
    }

    /// Sets up the fleet's network and its repository. The caller has locked the fleet.
    pub fn set_up_network(&self) -> Result<Network, FleetError> {
        let network = match self.network()? {
            Some(network) => {
                network.restore(&self.folder)?;
                network
            }
            None => {
                let _machine = machine_lock()?;
                let network = Network::allocate(&self.folder)?;
                let text =
                    serde_json::to_string(&network).map_err(|_| FleetError::Invalid("the network".into()))?;
                files::write(&self.network_file(), &text)?;
                network
            }
        };
        self.serve_repositories(network)?;
        Ok(network)
    }

    /// Removes everything outside the folder, after the last host. The caller has locked the fleet.
    pub fn tear_down_network(&self) -> Result<(), FleetError> {
        let Some(network) = self.network()? else { return Ok(()) };
        self.cgroup(network).remove()?;
        network.remove()?;
        files::remove(&self.network_file())?;
        // Succeeds only for the last fleet of the machine.
        let _ = fs::remove_dir(self.cgroups.path());
        Ok(())
    }

    /// The network of this fleet. `None` if it has no hosts.
    pub fn network(&self) -> Result<Option<Network>, FleetError> {
        let record = self.network_file();
        match fs::read(&record) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| FleetError::Invalid(record.display().to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FleetError::file("read", &record)(error)),
        }
    }

    fn network_file(&self) -> PathBuf {
        self.folder.join("network.json")
    }

    /// Removes the remains of fleets whose folders were deleted.
    fn remove_orphans(&self) -> Result<(), FleetError> {
        let _machine = machine_lock()?;
        for (bridge, owner) in network::list_bridges()? {
            let record = Path::new(&owner).join("network.json");
            if owner.is_empty() || record.exists() {
                continue;
            }
            tracing::warn!(
                "removing the bridge `{bridge}` and all processes of a fleet whose folder `{owner}` was deleted"
            );
            self.cgroups.child(&bridge).remove()?;
            network::remove_link(&bridge)?;
        }
        Ok(())
    }

    /// Starts a web server on the bridge, only for the hosts. Like the hosts it outlives the sim-engine.
    fn serve_repositories(&self, network: Network) -> Result<(), FleetError> {
        let cgroup = self.cgroup(network).child("repository");
        if cgroup.is_populated() {
            return Ok(());
        }
        cgroup.create()?;
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"echo $$ >"$1/cgroup.procs" && exec setsid --fork python3 -m http.server 8077 --bind "$2" --directory "$3""#,
            "repository",
        ]);
        command.arg(cgroup.path()).arg(network.gateway().to_string()).arg(self.images.join("repository"));
        start_detached(&mut command, &self.folder.join("repository.log"))?;
        let address = SocketAddr::from((network.gateway(), REPOSITORY_PORT));
        let until = Instant::now() + REPOSITORY_TIMEOUT;
        while TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_err() {
            if Instant::now() >= until || !cgroup.is_populated() {
                return Err(FleetError::Program {
                    program: "python3 -m http.server".into(),
                    output: format!("no answer at {address}"),
                });
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Runs a script that builds images unless they are there, and prints their folder as its last line.
fn build(script: &mut Command) -> Result<PathBuf, FleetError> {
    let printed = run(script, IMAGES_TIMEOUT)
        .map_err(|error| FleetError::Unsupported(format!("the images cannot be built: {error}")))?;
    Ok(PathBuf::from(printed.lines().last().unwrap_or_default()))
}

/// Creates a key pair without a passphrase.
pub fn make_key(file: &Path, comment: &str) -> Result<(), FleetError> {
    quick("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &file.to_string_lossy()])?;
    Ok(())
}

/// Starts a process that outlives this one, with its output in a file.
pub fn start_detached(command: &mut Command, log: &Path) -> Result<(), FleetError> {
    let open = || File::options().create(true).append(true).open(log);
    let (out, err) = open()
        .and_then(|out| out.try_clone().map(|err| (out, err)))
        .map_err(FleetError::file("opened", log))?;
    command.current_dir("/").stdin(Stdio::null()).stdout(out).stderr(err);
    let output = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("{status}; see `{}`", log.display()),
        Err(error) => error.to_string(),
    };
    Err(FleetError::Program { program: command.get_program().to_string_lossy().into_owned(), output })
}

/// Only one fleet at a time allocates a network or removes the remains of others.
fn machine_lock() -> Result<File, FleetError> {
    files::lock(Path::new("/run/lock/patch-fleet.lock"))
}

fn write_scripts(folder: &Path) -> Result<(), FleetError> {
    files::create_folders(folder)?;
    for (name, text) in SCRIPTS {
        // Renamed into place: the shell of a running host continues to read the old file.
        let new = folder.join(format!("{name}.new"));
        files::write_mode(&new, text, 0o755)?;
        files::rename(&new, &folder.join(name))?;
    }
    Ok(())
}
