//! The settings of the CMDB, in addition to those that every service has.

#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Base URL of the sim-engine; used by synchronisation.
    #[arg(long, env = "SIM_ENGINE_URL", default_value = "http://127.0.0.1:8083")]
    pub sim_engine_url: String,
}
