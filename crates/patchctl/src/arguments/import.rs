use std::path::PathBuf;

use clap::Args;

/// Where the list comes from, and what becomes of it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl ci import fleet.csv --dry-run
  patchctl ci import inventory.ini --map env=prod,staging,dev --map role=web,db
  patchctl ci import --ansible inventories/prod --plugin amazon.aws.aws_ec2
  patchctl ci import --netbox https://netbox.example.org --netbox-token-file token

Exit status: 0 everything imported, 3 something was refused or is missing, 1 nothing was imported.")]
pub struct ImportArguments {
    /// CSV, JSON, NDJSON, an Ansible inventory (INI, YAML or JSON), or an export of NetBox, Foreman, ServiceNow or PatchMon;
    /// recognised by the content. `-` reads standard input.
    #[arg(required_unless_present_any = ["ansible", "netbox"], conflicts_with_all = ["ansible", "netbox"])]
    pub file: Option<PathBuf>,

    /// Read an inventory file or folder of Ansible with its `group_vars` and `host_vars`, through `ansible-inventory` on this
    /// machine. Scripts are not run, and vaulted values are left out.
    #[arg(long, value_name = "PATH", conflicts_with = "netbox")]
    pub ansible: Option<PathBuf>,

    /// Inventory plugin that may be used in addition to `ini`, `yaml` and `constructed`; repeat it for several.
    #[arg(long = "plugin", value_name = "NAME", requires = "ansible")]
    pub plugins: Vec<String>,

    /// Read every device and virtual machine from the API of NetBox.
    #[arg(long, value_name = "URL", requires = "netbox_token_file")]
    pub netbox: Option<String>,

    /// File that contains the token for NetBox.
    #[arg(long, value_name = "FILE", env = "NETBOX_TOKEN_FILE")]
    pub netbox_token_file: Option<PathBuf>,

    /// Make a tag of groups of an Ansible inventory: a host in the group `prod` gets the tag `env=prod`; repeat it for
    /// several tags.
    #[arg(long = "map", value_name = "KEY=GROUP,GROUP")]
    pub maps: Vec<String>,

    /// Store nothing if one record is refused.
    #[arg(long)]
    pub strict: bool,

    /// Only print what would change.
    #[arg(long)]
    pub dry_run: bool,
}
