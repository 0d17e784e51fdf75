use std::path::PathBuf;

/// The settings that only this service has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SimSettings {
    /// Simulate a laboratory: people create, delete and break machines, repositories and customers. By default only runs use this
    /// service, for snapshots and power.
    #[arg(long, env = "PATCH_LABORATORY")]
    pub laboratory: bool,

    /// Folder of a fleet of real hosts on this machine, for the driver `linux`. It needs root. By default this driver is off.
    #[arg(long, env = "PATCH_FLEET_DIR")]
    pub fleet_dir: Option<PathBuf>,

    /// Folder of the images of these hosts. Missing images are built once; fleets may share them. Default: `images` in the
    /// fleet's folder.
    #[arg(long, env = "PATCH_FLEET_IMAGES")]
    pub fleet_images: Option<PathBuf>,
}
