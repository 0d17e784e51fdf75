//! One host: a disk in a file, a record of what it is, and a supervisor that is nobody's child.
//!
//! Every change on disk is made beside its place and renamed into it, so that whoever comes after a crash finds the state
//! before or the state after.

use std::{
    fs::{self, File},
    io::Read,
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use api_types::sim::SshAccess;
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    FleetError,
    cgroup::Group,
    command::{end_of, quick, run},
    fleet::{Fleet, lock, make_key, start_apart},
    network::{self, HOSTS, Network, PREFIX_LENGTH},
    seed,
};

/// A boot takes a second; two dozen at once on a busy machine take a while.
const ANSWER: Duration = Duration::from_secs(90);
const COPY: Duration = Duration::from_secs(90);
/// Sparse: a host takes what it writes.
const DISK: &str = "1G";

/// Systems there are images of, with the layers of each, the upper one first.
pub const SYSTEMS: [(&str, &[&str]); 2] = [("debian12", &["debian"]), ("rocky9", &["rocky", "debian"])];

/// What a host is, as long as it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: CiId,
    pub os: String,
    /// Its place in the fleet's network.
    number: u8,
    /// Its public host key, `ssh-ed25519 ...`.
    host_key: String,
    /// The images it was made on; others may be newer.
    images: PathBuf,
}

/// What a host is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    Up(Uuid),
    Off,
    /// It is to run and does not.
    Dead,
    /// It has no disk.
    Gone,
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

    /// Makes the host and starts it; returns when it answers over SSH.
    pub fn create(&self, os: &str, services: &[String]) -> Result<Life, FleetError> {
        if let Err(error) = self.prepare(os, services).and_then(|()| self.start()) {
            // Taken: it is somebody else's.
            if !matches!(error, FleetError::Taken(_)) {
                self.delete()?;
            }
            return Err(error);
        }
        self.life()
    }

    fn prepare(&self, os: &str, services: &[String]) -> Result<(), FleetError> {
        let (record, network) = {
            let _turn = self.fleet.turn()?;
            let network = self.fleet.unfold()?;
            fs::create_dir(&self.folder).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => FleetError::Taken(self.id.clone()),
                _ => FleetError::file("created", &self.folder)(error),
            })?;
            fs::create_dir(self.path("faults")).map_err(FleetError::file("created", &self.folder))?;
            let number = self.free_number()?;
            let key = self.path("ssh_host_ed25519_key");
            make_key(&key, self.id.as_str())?;
            let public = key.with_extension("pub");
            let host_key = fs::read_to_string(&public).map_err(FleetError::file("read", &public))?;
            let host_key = host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            let images = self.fleet.images().to_path_buf();
            let record = Record { id: self.id.clone(), os: os.to_owned(), number, host_key, images };
            self.write("record.json", &serde_json::to_string(&record).unwrap_or_default())?;
            (record, network)
        };
        let plot = self.path("seed");
        // Those known by another name are enabled already.
        let has_own_unit =
            |service: &&String| find_unit(&record.images, os, service) == Some("usr/lib/systemd/system");
        let services: Vec<_> = services.iter().filter(has_own_unit).map(String::as_str).collect();
        seed::sow(&plot, self, &record, network, &services)?;
        let disk = self.path("disk.new");
        quick("truncate", &["--size", DISK, &disk.to_string_lossy()])?;
        // Without a journal: the kernel that writes the disk does not die with the host.
        let options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"];
        run(Command::new("mke2fs").args(options).arg(&plot).arg(&disk), Duration::from_secs(60))?;
        fs::remove_dir_all(&plot).map_err(FleetError::file("removed", &plot))?;
        self.rename("disk.new", "disk")
    }

    /// Starts a host that is off or dead; returns when it answers over SSH.
    pub fn start(&self) -> Result<(), FleetError> {
        let _turn = self.turn()?;
        if self.life()? != Life::Gone && self.group()?.is_populated() {
            return Ok(());
        }
        let record = self.record()?;
        let network = {
            let _turn = self.fleet.turn()?;
            self.fleet.unfold()?
        };
        let group = self.group()?;
        group.remove()?;
        group.child("supervisor").create()?;
        group.child("guest").create()?;
        self.write("settings", &self.settings(&record, network, &group))?;
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"echo $$ >"$1/supervisor/cgroup.procs" && exec 9</proc/self/ns/net &&
               exec setsid --fork unshare --mount --propagation private --net bash "$2/supervise.sh" "$3""#,
            "supervisor",
        ]);
        command.arg(group.path()).arg(self.fleet.scripts()).arg(&self.folder);
        self.forget("ended")?;
        start_apart(&mut command, &self.path("console.log"))?;
        self.await_answer(SocketAddr::new(IpAddr::V4(network.address(record.number)), 22), &group)
    }

    /// Cuts the power: nobody inside is asked.
    pub fn stop(&self) -> Result<(), FleetError> {
        let _turn = self.turn()?;
        self.kill()?;
        self.write("ended", "off\n")
    }

    /// Lets the host die, as hardware does. It stays dead until it is started.
    pub fn fail(&self) -> Result<(), FleetError> {
        let _turn = self.turn()?;
        self.kill()?;
        self.write("ended", "failed: a fault was injected\n")
    }

    /// Removes the host with all it had; the last one takes the fleet's network with it.
    pub fn delete(&self) -> Result<(), FleetError> {
        let turn = self.fleet.turn()?;
        if self.folder.exists() {
            self.kill()?;
            if let (Ok(record), Ok(Some(network))) = (self.record(), self.fleet.network()) {
                // It goes by itself with the host's network namespace; nobody should have to wait for that.
                network::remove_link(&network.link(record.number))?;
            }
            fs::remove_dir_all(&self.folder).map_err(FleetError::file("removed", &self.folder))?;
        }
        if self.fleet.hosts()?.is_empty() {
            self.fleet.fold()?;
        }
        drop(turn);
        Ok(())
    }

    /// Copies the disk, which holds still for that moment; returns what the copy takes.
    pub fn snapshot(&self, tag: &str) -> Result<u64, FleetError> {
        let _turn = self.turn()?;
        let (folder, disk) = (self.path("snapshots"), self.path("disk"));
        fs::create_dir_all(&folder).map_err(FleetError::file("created", &folder))?;
        let new = folder.join(format!("{tag}.new"));
        let mut command = self.beside_the_disk()?;
        command.arg(self.fleet.scripts().join("snapshot.sh")).arg(&disk).arg(&new);
        if self.group()?.is_populated() {
            command.arg(self.path("mounted"));
        }
        run(&mut command, COPY)?;
        let copy = folder.join(tag);
        fs::rename(&new, &copy).map_err(FleetError::file("renamed", &new))?;
        let kept = fs::metadata(&copy).map_err(FleetError::file("read", &copy))?;
        // Holes take nothing; blocks are of 512 bytes by definition.
        Ok(std::os::unix::fs::MetadataExt::blocks(&kept) * 512)
    }

    /// Returns to a snapshot and starts.
    pub fn revert(&self, tag: &str) -> Result<Life, FleetError> {
        let copy = self.path("snapshots").join(tag);
        if !copy.exists() {
            return Err(FleetError::SnapshotGone { host: self.id.clone(), tag: tag.to_owned() });
        }
        {
            let _turn = self.turn()?;
            let new = self.path("disk.new");
            run(Command::new("cp").args(["--sparse=auto", "--reflink=auto"]).arg(&copy).arg(&new), COPY)?;
            self.kill()?;
            self.rename("disk.new", "disk")?;
        }
        self.start()?;
        self.life()
    }

    pub fn delete_snapshot(&self, tag: &str) -> Result<(), FleetError> {
        match fs::remove_file(self.path("snapshots").join(tag)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FleetError::file("removed", &self.path("snapshots"))(error))
            }
            _ => Ok(()),
        }
    }

    /// What it is at this moment: asked of the kernel, never remembered.
    pub fn life(&self) -> Result<Life, FleetError> {
        if !self.path("disk").exists() || !self.path("record.json").exists() {
            return Ok(Life::Gone);
        }
        if self.group().is_ok_and(|group| group.is_populated()) {
            let boot_id = self.read("boot_id").and_then(|text| Uuid::parse_str(text.trim()).ok());
            return Ok(boot_id.map_or(Life::Dead, Life::Up));
        }
        match self.read("ended").as_deref().map(str::trim) {
            Some("off") => Ok(Life::Off),
            _ => Ok(Life::Dead),
        }
    }

    pub fn record(&self) -> Result<Record, FleetError> {
        let text = self.read("record.json").ok_or_else(|| FleetError::Gone(self.id.clone()))?;
        serde_json::from_str(&text)
            .map_err(|_| FleetError::Garbled(self.path("record.json").display().to_string()))
    }

    /// How it is entered. The private key is named, not shown.
    pub fn access(&self) -> Result<SshAccess, FleetError> {
        let record = self.record()?;
        let network = self.fleet.network()?.ok_or_else(|| FleetError::Gone(self.id.clone()))?;
        Ok(SshAccess {
            address: network.address(record.number).to_string(),
            port: 22,
            user: "root".to_owned(),
            host_key: record.host_key,
            key_file: self.fleet.key_file().display().to_string(),
        })
    }

    /// The machine's end of its cable.
    pub fn link(&self) -> Result<Option<String>, FleetError> {
        let number = self.record()?.number;
        Ok(self.fleet.network()?.map(|network| network.link(number)))
    }

    /// `bash`, where the mounted disk can be seen: in the supervisor's mounts while the host runs.
    pub fn beside_the_disk(&self) -> Result<Command, FleetError> {
        let supervisor = self.group()?.child("supervisor").first_process();
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

    pub fn group(&self) -> Result<Group, FleetError> {
        let network = self.fleet.network()?.ok_or_else(|| FleetError::Gone(self.id.clone()))?;
        Ok(self.fleet.group(network).child(self.id.as_str()))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Writes a file whole.
    pub fn write(&self, name: &str, text: &str) -> Result<(), FleetError> {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).map_err(FleetError::file("written", &new))?;
        self.rename(&format!("{name}.new"), name)
    }

    pub fn forget(&self, name: &str) -> Result<(), FleetError> {
        let file = self.path(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(FleetError::file("removed", &file)(error))
            }
            _ => Ok(()),
        }
    }

    /// A turn at this host, also among several processes.
    pub fn turn(&self) -> Result<File, FleetError> {
        if !self.folder.exists() {
            return Err(FleetError::Gone(self.id.clone()));
        }
        lock(&self.path("lock"))
    }

    fn kill(&self) -> Result<(), FleetError> {
        match self.fleet.network()? {
            Some(network) => self.fleet.group(network).child(self.id.as_str()).remove(),
            None => Ok(()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FleetError> {
        let from = self.path(from);
        fs::rename(&from, self.path(to)).map_err(FleetError::file("renamed", &from))
    }

    /// The lowest number no host has. The caller has the fleet's turn.
    fn free_number(&self) -> Result<u8, FleetError> {
        let mut taken = Vec::new();
        for id in self.fleet.hosts()? {
            taken.extend(self.fleet.host(&id).record().map(|record| record.number));
        }
        HOSTS.into_iter().find(|number| !taken.contains(number)).ok_or(FleetError::Full)
    }

    fn settings(&self, record: &Record, network: Network, group: &Group) -> String {
        let layers = SYSTEMS.iter().find(|(os, _)| *os == record.os).map_or(&[][..], |(_, layers)| layers);
        let lower: Vec<_> =
            layers.iter().map(|layer| record.images.join(layer).display().to_string()).collect();
        // Paths of a fleet hold no quotes, and the other words are our own.
        format!(
            "name='{}'\nlower='{}'\ncgroup='{}'\nlink={}\nmac={}\nbridge={}\naddress={}\nprefix={PREFIX_LENGTH}\ngateway={}\n",
            self.id.as_str(),
            lower.join(":"),
            group.path().display(),
            network.link(record.number),
            network.hardware_address(record.number),
            network.bridge(),
            network.address(record.number),
            network.gateway(),
        )
    }

    fn await_answer(&self, address: SocketAddr, group: &Group) -> Result<(), FleetError> {
        // Nobody can answer through a cut cable.
        if self.path("cut").exists() {
            return Ok(());
        }
        let until = Instant::now() + ANSWER;
        while !answers(address) {
            if Instant::now() >= until || !group.is_populated() {
                let said = end_of(&self.read("console.log").unwrap_or_default(), 400);
                return Err(FleetError::Silent { host: self.id.clone(), after: ANSWER, said });
            }
            sleep(Duration::from_millis(40));
        }
        Ok(())
    }
}

/// Whether an SSH server greets there.
pub fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else {
        return false;
    };
    let mut greeting = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.read_exact(&mut greeting).is_ok()
        && greeting == *b"SSH-"
}

/// Where the system of `os` has a unit of this name in these images: its own folder, or that of the administrator, where
/// other names of enabled services stand.
pub fn find_unit(images: &Path, os: &str, service: &str) -> Option<&'static str> {
    let layers = SYSTEMS.iter().find(|(system, _)| *system == os).map_or(&[][..], |(_, layers)| layers);
    ["usr/lib/systemd/system", "etc/systemd/system"].into_iter().find(|folder| {
        layers.iter().any(|layer| {
            fs::symlink_metadata(images.join(layer).join(folder).join(format!("{service}.service"))).is_ok()
        })
    })
}
