//! All hosts of one sim-engine: their folder, their network, the repositories they see.
//!
//! Outside its folder a fleet leaves a bridge, its links and a control group, all named by the number of its network;
//! mounts and namespaces end with the processes in the group. The bridge carries the folder's name, so that what a fleet
//! left behind whose folder is gone can be told and removed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use domain::ids::CiId;

use super::{
    FleetError,
    cgroup::Group,
    command::{quick, run},
    host::Host,
    network::{self, Network},
    preflight,
};

/// The images take half a minute with a near mirror, and are made once.
const IMAGES: Duration = Duration::from_secs(1800);
const REPOSITORY_PORT: u16 = 8077;
const REPOSITORY_START: Duration = Duration::from_secs(20);

/// Everything the scripts are, written out wherever a fleet is opened.
const SCRIPTS: [(&str, &str); 9] = [
    ("images.sh", include_str!("scripts/images.sh")),
    ("packages.sh", include_str!("scripts/packages.sh")),
    ("debian.sh", include_str!("scripts/debian.sh")),
    ("rocky.sh", include_str!("scripts/rocky.sh")),
    ("fault", include_str!("scripts/fault")),
    ("supervise.sh", include_str!("scripts/supervise.sh")),
    ("boot.sh", include_str!("scripts/boot.sh")),
    ("fill.sh", include_str!("scripts/fill.sh")),
    ("snapshot.sh", include_str!("scripts/snapshot.sh")),
];

#[derive(Debug)]
pub struct Fleet {
    folder: PathBuf,
    images: PathBuf,
    groups: Group,
}

impl Fleet {
    /// Opens the fleet in `folder`, with images from `cache`, where they are made when it has none. This can take minutes.
    pub fn open(folder: &Path, cache: &Path) -> Result<Self, FleetError> {
        let folder = std::path::absolute(folder).map_err(FleetError::file("found", folder))?;
        preflight::check(&folder)?;
        let groups = Group::of_machine()?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder.join("hosts"))
            .map_err(FleetError::file("created", &folder))?;
        // The keys lie here, whoever made the folder.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
            .map_err(FleetError::file("closed to others", &folder))?;
        write_scripts(&folder.join("scripts"))?;
        let printed = run(Command::new("bash").arg(folder.join("scripts/images.sh")).arg(cache), IMAGES)
            .map_err(|error| FleetError::Missing(format!("the images cannot be made: {error}")))?;
        let images = PathBuf::from(printed.lines().last().unwrap_or_default());
        let fleet = Self { folder, images, groups };
        fleet.make_key()?;
        fleet.sweep_machine()?;
        if !fleet.hosts()?.is_empty() {
            let _turn = fleet.turn()?;
            fleet.unfold()?;
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

    pub fn images(&self) -> &Path {
        &self.images
    }

    /// The private key that enters every host; for the sim-engine's user alone.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    pub fn group(&self, network: Network) -> Group {
        self.groups.child(&network.bridge())
    }

    /// A turn at what all hosts share, also among several processes; it ends when it is dropped.
    pub fn turn(&self) -> Result<File, FleetError> {
        lock(&self.folder.join("lock"))
    }

    /// The fleet's network with everything hosts need to start. The caller has the turn.
    pub fn unfold(&self) -> Result<Network, FleetError> {
        let network = match self.network()? {
            Some(network) => {
                network.restore(&self.folder)?;
                network
            }
            None => {
                let _machine = machine_lock()?;
                let network = Network::allocate(&self.folder)?;
                let record = self.network_file();
                let text =
                    serde_json::to_string(&network).map_err(|_| FleetError::Garbled("the network".into()))?;
                fs::write(&record, text).map_err(FleetError::file("written", &record))?;
                network
            }
        };
        self.serve_repositories(network)?;
        Ok(network)
    }

    /// Leaves nothing outside the folder, once the last host is gone. The caller has the turn.
    pub fn fold(&self) -> Result<(), FleetError> {
        let Some(network) = self.network()? else { return Ok(()) };
        self.group(network).remove()?;
        network.remove()?;
        let record = self.network_file();
        fs::remove_file(&record).map_err(FleetError::file("removed", &record))?;
        // The folder of all fleets goes with the last of them.
        let _ = fs::remove_dir(self.groups.path());
        Ok(())
    }

    /// The network this fleet has, once it has one.
    pub fn network(&self) -> Result<Option<Network>, FleetError> {
        let record = self.network_file();
        match fs::read(&record) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| FleetError::Garbled(record.display().to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FleetError::file("read", &record)(error)),
        }
    }

    fn network_file(&self) -> PathBuf {
        self.folder.join("network.json")
    }

    fn make_key(&self) -> Result<(), FleetError> {
        let key = self.key_file();
        if !key.exists() {
            make_key(&key, "patch-fleet")?;
        }
        Ok(())
    }

    /// Removes what fleets left on this machine whose folders are gone.
    fn sweep_machine(&self) -> Result<(), FleetError> {
        let _machine = machine_lock()?;
        for (bridge, owner) in network::list_bridges()? {
            let record = Path::new(&owner).join("network.json");
            if owner.is_empty() || record.exists() {
                continue;
            }
            tracing::warn!(
                "removing the bridge `{bridge}` and all processes of a fleet whose folder `{owner}` is gone"
            );
            self.groups.child(&bridge).remove()?;
            network::remove_link(&bridge)?;
        }
        Ok(())
    }

    /// A web server on the bridge, for the hosts alone. It belongs to nobody, as the hosts do.
    fn serve_repositories(&self, network: Network) -> Result<(), FleetError> {
        let group = self.group(network).child("repository");
        if group.is_populated() {
            return Ok(());
        }
        group.create()?;
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"echo $$ >"$1/cgroup.procs" && exec setsid --fork python3 -m http.server 8077 --bind "$2" --directory "$3""#,
            "repository",
        ]);
        command.arg(group.path()).arg(network.gateway().to_string()).arg(self.images.join("repository"));
        start_apart(&mut command, &self.folder.join("repository.log"))?;
        let address = SocketAddr::from((network.gateway(), REPOSITORY_PORT));
        let until = Instant::now() + REPOSITORY_START;
        while TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_err() {
            if Instant::now() >= until || !group.is_populated() {
                return Err(FleetError::Program {
                    program: "python3 -m http.server".into(),
                    said: format!("it does not answer at {address}"),
                });
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Makes a key pair without a passphrase; the private one is for its owner alone.
pub fn make_key(file: &Path, comment: &str) -> Result<(), FleetError> {
    quick("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &file.to_string_lossy()])?;
    Ok(())
}

/// Starts what goes on by itself, with its words in a file.
pub fn start_apart(command: &mut Command, log: &Path) -> Result<(), FleetError> {
    let open = || File::options().create(true).append(true).open(log);
    let (out, err) = open()
        .and_then(|out| out.try_clone().map(|err| (out, err)))
        .map_err(FleetError::file("opened", log))?;
    command.current_dir("/").stdin(Stdio::null()).stdout(out).stderr(err);
    let status = command.status().map_err(FleetError::file("started with its words in", log))?;
    match status.success() {
        true => Ok(()),
        false => Err(FleetError::Program {
            program: command.get_program().to_string_lossy().into_owned(),
            said: format!("it ended with {status}; see `{}`", log.display()),
        }),
    }
}

pub fn lock(file: &Path) -> Result<File, FleetError> {
    let locked = File::options().create(true).truncate(false).write(true).open(file);
    locked.and_then(|file| file.lock().map(|()| file)).map_err(FleetError::file("locked", file))
}

/// One fleet at a time takes a network or clears away what others left.
fn machine_lock() -> Result<File, FleetError> {
    lock(Path::new("/run/lock/patch-fleet.lock"))
}

fn write_scripts(folder: &Path) -> Result<(), FleetError> {
    fs::create_dir_all(folder).map_err(FleetError::file("created", folder))?;
    for (name, text) in SCRIPTS {
        // Renamed into place: a running host's shell goes on reading the file it has.
        let (file, new) = (folder.join(name), folder.join(format!("{name}.new")));
        fs::write(&new, text)
            .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(FleetError::file("written", &file))?;
    }
    Ok(())
}
