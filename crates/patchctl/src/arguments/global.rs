//! Options of every command.

use std::path::PathBuf;

use clap::Args;
use terminal::{Colour, OutputChoice};

/// The first port of a platform on this machine that was started without another one.
pub const DEFAULT_PORT_BASE: u16 = 8080;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// Format of the output: table, wide (every column, exact times), name (only ids), json, yaml, csv, tsv, or jsonpath=EXPR
    /// such as `jsonpath=$[*].id`.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: OutputChoice,

    /// When to use colours; `auto` uses them on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Colour::Auto, hide_short_help = true)]
    pub color: Colour,

    /// Print long tables without a pager. On a terminal, they are shown in PATCHCTL_PAGER, PAGER or `less`.
    #[arg(long, global = true, hide_short_help = true)]
    pub no_pager: bool,

    /// Address of the patch-manager; by default the other services are on the three ports after it.
    #[arg(long, global = true, env = "PATCH_URL", value_name = "URL")]
    pub server: Option<String>,

    /// First of the four consecutive ports of a platform on this machine.
    #[arg(long, global = true, env = "PATCH_PORT_BASE", default_value_t = DEFAULT_PORT_BASE, value_name = "PORT",
        value_parser = clap::value_parser!(u16).range(1..=65532))]
    pub port_base: u16,

    /// Address of the CMDB, if it is not on the first port after --server.
    #[arg(long, global = true, env = "CMDB_URL", value_name = "URL", hide_short_help = true)]
    pub cmdb_url: Option<String>,

    /// Address of ITSM, if it is not on the second port after --server.
    #[arg(long, global = true, env = "ITSM_URL", value_name = "URL", hide_short_help = true)]
    pub itsm_url: Option<String>,

    /// Address of the sim-engine, if it is not on the third port after --server.
    #[arg(long, global = true, env = "SIM_ENGINE_URL", value_name = "URL", hide_short_help = true)]
    pub sim_engine_url: Option<String>,

    /// File that contains your token; by default that of your sign-in, else the admin token in the data folder. The environment variable PATCH_TOKEN
    /// may contain the token itself; an argument must not.
    #[arg(long, global = true, env = "PATCH_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Platform that you have signed in to, by its name; by default the one that `patchctl context use` chose, unless a platform is
    /// chosen by --server, --port-base or --data-dir.
    #[arg(long, global = true, env = "PATCH_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,

    /// Data folder of the platform on this machine; by default /var/lib/patch-manager for root, else
    /// $XDG_DATA_HOME/patch-manager or ~/.local/share/patch-manager.
    #[arg(long, global = true, env = "PATCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
