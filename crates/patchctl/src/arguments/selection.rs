use clap::Args;
use domain::{ids::CiId, selector::Selector};

use super::parse_pair;

/// Which configuration items are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Those that bear this tag; given often, all of them.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub tags: Vec<(String, String)>,

    /// This one; given often, each of them.
    #[arg(long = "ci", value_name = "ID")]
    pub ids: Vec<CiId>,

    /// Everything managed.
    #[arg(long)]
    pub all: bool,
}

impl Selection {
    /// `None` when nothing was said.
    pub fn selector(&self) -> Option<Selector> {
        let selector = Selector {
            tags: self.tags.iter().cloned().collect(),
            ids: self.ids.iter().cloned().collect(),
            all: self.all,
        };
        (selector != Selector::default()).then_some(selector)
    }
}
