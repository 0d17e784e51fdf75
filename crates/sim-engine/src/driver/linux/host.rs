//! One host: a disk in a file, a record, and a supervisor that outlives the sim-engine.
//!
//! Every file is written next to its place and renamed, so that after a crash it has the old or the new content.

use std::{
    fs::{self, File},
    io::Read,
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use api_types::sim::{HostImage, SshAccess};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    FleetError,
    cgroup::Cgroup,
    command::{quick, run, tail},
    files,
    fleet::{Fleet, make_key, start_detached},
    network::{self, HOSTS, Network, PREFIX_LENGTH},
    root_layer,
};

/// A boot takes a second, but two dozen at once on a busy machine take longer.
const BOOT_TIMEOUT: Duration = Duration::from_secs(90);
const COPY_TIMEOUT: Duration = Duration::from_secs(90);
/// Sparse: it only takes what the host writes.
const DISK: &str = "1G";

/// Systems with images, each with its layers, the upper one first.
pub const SYSTEMS: [(&str, &[&str]); 3] =
    [("debian12", &["debian"]), ("rocky9", &["rocky", "debian"]), ("leap15.6", &["leap", "debian"])];

/// The system that has a brownfield image too.
pub const BROWNFIELD: &str = "debian12";

/// The properties of a host that never change.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: CiId,
    pub os: String,
    /// Its number in the fleet's network.
    number: u8,
    /// Its public host key, `ssh-ed25519 ...`.
    host_key: String,
    /// The images it was created on. There may be newer ones.
    images: PathBuf,
}

/// The actual state of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostState {
    /// With its boot id.
    Up(Uuid),
    Off,
    /// It should run and does not.
    Failed,
    DiskMissing,
}

pub struct Host<'a> {
    fleet: &'a Fleet,
    id: CiId,
    folder: PathBuf,
}

impl<'a> Host<'a> {
    pub fn new(fleet: &'a Fleet, id: &CiId) -> Self {
        Self { fleet, id: id.clone(), folder: fleet.hosts_folder().join(id.as_str()) }
    }

    /// Creates the host and starts it. Returns when it answers over SSH.
    pub fn create(&self, os: &str, image: HostImage, services: &[String]) -> Result<HostState, FleetError> {
        let images = self.fleet.images(image)?;
        if let Some(index) = services.iter().position(|service| find_unit(&images, os, service).is_none()) {
            return Err(FleetError::UnknownService { index, os: os.to_owned() });
        }
        if let Err(error) = self.prepare(os, images, services).and_then(|()| self.start()) {
            // An existing host is not ours to delete.
            if !matches!(error, FleetError::HostExists(_)) {
                self.delete()?;
            }
            return Err(error);
        }
        self.state()
    }

    fn prepare(&self, os: &str, images: PathBuf, services: &[String]) -> Result<(), FleetError> {
        let (record, network) = {
            let _lock = self.fleet.lock()?;
            let network = self.fleet.set_up_network()?;
            fs::create_dir(&self.folder).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => FleetError::HostExists(self.id.clone()),
                _ => FleetError::file("created", &self.folder)(error),
            })?;
            files::create_folders(&self.path("faults"))?;
            let number = self.free_number()?;
            let key = self.path("ssh_host_ed25519_key");
            make_key(&key, self.id.as_str())?;
            let host_key = files::read(&key.with_extension("pub"))?;
            let host_key = host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            let record = Record { id: self.id.clone(), os: os.to_owned(), number, host_key, images };
            self.write("record.json", &serde_json::to_string(&record).unwrap_or_default())?;
            (record, network)
        };
        let seed = self.path("seed");
        // Units of another name are enabled already.
        let has_own_unit =
            |service: &&String| find_unit(&record.images, os, service) == Some("usr/lib/systemd/system");
        let services: Vec<_> = services.iter().filter(has_own_unit).map(String::as_str).collect();
        root_layer::write(&seed, self, &record, network, &services)?;
        let disk = self.path("disk.new");
        quick("truncate", &["--size", DISK, &disk.to_string_lossy()])?;
        // Without a journal: the kernel that writes the disk outlives the host.
        let options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"];
        run(Command::new("mke2fs").args(options).arg(&seed).arg(&disk), Duration::from_secs(60))?;
        files::remove_folder(&seed)?;
        self.rename("disk.new", "disk")
    }

    /// Starts a host that is off or has failed. Returns when it answers over SSH.
    pub fn start(&self) -> Result<(), FleetError> {
        let _lock = self.lock()?;
        if self.state()? != HostState::DiskMissing && self.cgroup()?.is_populated() {
            return Ok(());
        }
        let record = self.record()?;
        let network = {
            let _lock = self.fleet.lock()?;
            self.fleet.set_up_network()?
        };
        let cgroup = self.cgroup()?;
        cgroup.remove()?;
        cgroup.child("supervisor").create()?;
        cgroup.child("guest").create()?;
        self.write("settings", &self.settings(&record, network, &cgroup))?;
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"echo $$ >"$1/supervisor/cgroup.procs" && exec 9</proc/self/ns/net &&
               exec setsid --fork unshare --mount --propagation private --net bash "$2/supervise.sh" "$3""#,
            "supervisor",
        ]);
        command.arg(cgroup.path()).arg(self.fleet.scripts()).arg(&self.folder);
        self.remove("ended")?;
        start_detached(&mut command, &self.path("console.log"))?;
        self.wait_for_ssh(SocketAddr::new(IpAddr::V4(network.address(record.number)), 22), &cgroup)
    }

    /// Cuts the power, without notice to the guest.
    pub fn stop(&self) -> Result<(), FleetError> {
        let _lock = self.lock()?;
        self.kill()?;
        self.write("ended", "off\n")
    }

    /// Fails the host, as broken hardware does. It stays failed until it is started.
    pub fn fail(&self) -> Result<(), FleetError> {
        let _lock = self.lock()?;
        self.kill()?;
        self.write("ended", "failed: a fault was injected\n")
    }

    /// Deletes the host, and with the last host the fleet's network.
    pub fn delete(&self) -> Result<(), FleetError> {
        let _lock = self.fleet.lock()?;
        if self.folder.exists() {
            self.kill()?;
            if let (Ok(record), Ok(Some(network))) = (self.record(), self.fleet.network()) {
                // The kernel removes it with the host's network namespace, but later.
                network::remove_link(&network.link(record.number))?;
            }
            files::remove_folder(&self.folder)?;
        }
        if self.fleet.hosts()?.is_empty() {
            self.fleet.tear_down_network()?;
        }
        Ok(())
    }

    /// Copies the disk, which is frozen for that moment. Returns the bytes that the copy takes.
    pub fn snapshot(&self, tag: &str) -> Result<u64, FleetError> {
        let _lock = self.lock()?;
        let (folder, disk) = (self.path("snapshots"), self.path("disk"));
        files::create_folders(&folder)?;
        let new = folder.join(format!("{tag}.new"));
        let mut command = self.shell_at_disk()?;
        command.arg(self.fleet.scripts().join("snapshot.sh")).arg(&disk).arg(&new);
        if self.cgroup()?.is_populated() {
            command.arg(self.path("mounted"));
        }
        run(&mut command, COPY_TIMEOUT)?;
        let copy = folder.join(tag);
        files::rename(&new, &copy)?;
        let metadata = fs::metadata(&copy).map_err(FleetError::file("read", &copy))?;
        // Holes take nothing. A block has 512 bytes by definition.
        Ok(metadata.blocks() * 512)
    }

    /// Reverts to a snapshot and starts.
    pub fn revert(&self, tag: &str) -> Result<HostState, FleetError> {
        let copy = self.path("snapshots").join(tag);
        if !copy.exists() {
            return Err(FleetError::SnapshotMissing { host: self.id.clone(), tag: tag.to_owned() });
        }
        {
            let _lock = self.lock()?;
            let new = self.path("disk.new");
            run(
                Command::new("cp").args(["--sparse=auto", "--reflink=auto"]).arg(&copy).arg(&new),
                COPY_TIMEOUT,
            )?;
            self.kill()?;
            self.rename("disk.new", "disk")?;
        }
        self.start()?;
        self.state()
    }

    pub fn delete_snapshot(&self, tag: &str) -> Result<(), FleetError> {
        files::remove(&self.path("snapshots").join(tag))
    }

    /// The state at this moment, from the kernel and never from memory.
    pub fn state(&self) -> Result<HostState, FleetError> {
        if !self.path("disk").exists() || !self.path("record.json").exists() {
            return Ok(HostState::DiskMissing);
        }
        if self.cgroup().is_ok_and(|cgroup| cgroup.is_populated()) {
            let boot_id = self.read("boot_id").and_then(|text| Uuid::parse_str(text.trim()).ok());
            return Ok(boot_id.map_or(HostState::Failed, HostState::Up));
        }
        match self.read("ended").as_deref().map(str::trim) {
            Some("off") => Ok(HostState::Off),
            _ => Ok(HostState::Failed),
        }
    }

    pub fn record(&self) -> Result<Record, FleetError> {
        let text = self.read("record.json").ok_or_else(|| FleetError::DiskMissing(self.id.clone()))?;
        serde_json::from_str(&text)
            .map_err(|_| FleetError::Invalid(self.path("record.json").display().to_string()))
    }

    /// How to log in. The private key is only named.
    pub fn access(&self) -> Result<SshAccess, FleetError> {
        let record = self.record()?;
        let network = self.fleet.network()?.ok_or_else(|| FleetError::DiskMissing(self.id.clone()))?;
        Ok(SshAccess {
            address: network.address(record.number).to_string(),
            port: 22,
            user: "root".to_owned(),
            host_key: record.host_key,
            key_file: self.fleet.key_file().display().to_string(),
        })
    }

    /// The machine's end of its link.
    pub fn link(&self) -> Result<Option<String>, FleetError> {
        let number = self.record()?.number;
        Ok(self.fleet.network()?.map(|network| network.link(number)))
    }

    /// `bash` in the mount namespace of the supervisor, which has the disk mounted while the host runs.
    pub fn shell_at_disk(&self) -> Result<Command, FleetError> {
        let supervisor = self.cgroup()?.child("supervisor").first_process();
        let mut command = match supervisor {
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg("bash");
                command
            }
            None => Command::new("bash"),
        };
        command.current_dir("/");
        Ok(command)
    }

    pub fn fleet(&self) -> &Fleet {
        self.fleet
    }

    pub fn cgroup(&self) -> Result<Cgroup, FleetError> {
        let network = self.fleet.network()?.ok_or_else(|| FleetError::DiskMissing(self.id.clone()))?;
        Ok(self.fleet.cgroup(network).child(self.id.as_str()))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Replaces a file.
    pub fn write(&self, name: &str, text: &str) -> Result<(), FleetError> {
        let new = self.path(&format!("{name}.new"));
        files::write(&new, text)?;
        self.rename(&format!("{name}.new"), name)
    }

    pub fn remove(&self, name: &str) -> Result<(), FleetError> {
        files::remove(&self.path(name))
    }

    pub fn lock(&self) -> Result<File, FleetError> {
        if !self.folder.exists() {
            return Err(FleetError::DiskMissing(self.id.clone()));
        }
        files::lock(&self.path("lock"))
    }

    fn kill(&self) -> Result<(), FleetError> {
        if self.fleet.network()?.is_some() { self.cgroup()?.remove() } else { Ok(()) }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FleetError> {
        files::rename(&self.path(from), &self.path(to))
    }

    /// The lowest free number. The caller has locked the fleet.
    fn free_number(&self) -> Result<u8, FleetError> {
        let mut taken = Vec::new();
        for id in self.fleet.hosts()? {
            taken.extend(self.fleet.host(&id).record().map(|record| record.number));
        }
        HOSTS.into_iter().find(|number| !taken.contains(number)).ok_or(FleetError::Full)
    }

    fn settings(&self, record: &Record, network: Network, cgroup: &Cgroup) -> String {
        let lower: Vec<_> =
            layers(&record.os).iter().map(|layer| record.images.join(layer).display().to_string()).collect();
        // Paths of a fleet contain no quotes, and the other values are our own.
        format!(
            "name='{}'\nlower='{}'\ncgroup='{}'\nlink={}\nmac={}\nbridge={}\naddress={}\nprefix={PREFIX_LENGTH}\ngateway={}\n",
            self.id.as_str(),
            lower.join(":"),
            cgroup.path().display(),
            network.link(record.number),
            network.hardware_address(record.number),
            network.bridge(),
            network.address(record.number),
            network.gateway(),
        )
    }

    fn wait_for_ssh(&self, address: SocketAddr, cgroup: &Cgroup) -> Result<(), FleetError> {
        // A host that is cut off cannot answer.
        if self.path("cut").exists() {
            return Ok(());
        }
        let until = Instant::now() + BOOT_TIMEOUT;
        while !has_ssh_server(address) {
            if Instant::now() >= until || !cgroup.is_populated() {
                let console = tail(&self.read("console.log").unwrap_or_default(), 400);
                return Err(FleetError::Unreachable { host: self.id.clone(), after: BOOT_TIMEOUT, console });
            }
            sleep(Duration::from_millis(40));
        }
        Ok(())
    }
}

/// Whether an SSH server answers at this address.
fn has_ssh_server(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting == *b"SSH-"
}

/// The folder in the images of `os` that has a unit of this name: that of the system, or that of the administrator, which has
/// the aliases of enabled services.
fn find_unit(images: &Path, os: &str, service: &str) -> Option<&'static str> {
    let layers = layers(os);
    ["usr/lib/systemd/system", "etc/systemd/system"].into_iter().find(|folder| {
        layers.iter().any(|layer| {
            fs::symlink_metadata(images.join(layer).join(folder).join(format!("{service}.service"))).is_ok()
        })
    })
}

fn layers(os: &str) -> &'static [&'static str] {
    SYSTEMS.iter().find(|(system, _)| *system == os).map_or(&[], |(_, layers)| layers)
}
