use clap::{Args, Subcommand};

use super::Most;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl feed presets
  patchctl feed add almalinux:9
  patchctl feed add kev --every-minutes 60
  patchctl feed add site-notices --url https://mirror.example.org/notices.zip --checksum-url https://mirror.example.org/notices.zip.sha256
  patchctl feed list")]
pub enum FeedCommand {
    /// List the feeds that are fetched, and how their last requests ended. Exit status 3 when one is late.
    List(Most),
    /// Show one feed.
    Show { id: String },
    /// List the presets: publishers' addresses by name.
    Presets,
    /// Fetch a feed from now on: a preset of this name, or an address. A feed of the same name is changed.
    Add(AddFeed),
    /// Fetch a feed now instead of at its next time.
    Fetch { id: String },
    /// Stop fetching a feed. What was imported stays.
    Remove { id: String },
}

#[derive(Debug, Args)]
pub struct AddFeed {
    /// Name of the feed, and of its preset unless there is a --url or a --preset.
    pub id: String,
    /// Preset with another name than the feed.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub preset: Option<String>,
    /// Address of the feed, in any format that `advisory import` accepts.
    #[arg(long)]
    pub url: Option<String>,
    /// Address of a text that begins with the SHA-256 of the feed.
    #[arg(long, value_name = "URL", requires = "url")]
    pub checksum_url: Option<String>,
    /// Minutes between two requests, 5 to 43200; 360 by default.
    #[arg(long, value_name = "MINUTES")]
    pub every_minutes: Option<i32>,
    /// Hours without success after which it is late and an incident is opened; 48 by default.
    #[arg(long, value_name = "HOURS")]
    pub late_after_hours: Option<i32>,
}
