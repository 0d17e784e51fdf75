use clap::Args;
use domain::{ids::CiId, selector::Selector};

use super::parse_pair;
use crate::complete;

/// Selected configuration items.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Those with this tag; repeat it to require several tags.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub tags: Vec<(String, String)>,

    /// This one; repeat it for several.
    #[arg(long = "ci", value_name = "ID", add = complete::hosts())]
    pub ids: Vec<CiId>,

    /// All managed ones.
    #[arg(long)]
    pub all: bool,
}

impl Selection {
    /// `None` when nothing is selected.
    pub fn selector(&self) -> Option<Selector> {
        let selector = Selector {
            tags: self.tags.iter().cloned().collect(),
            ids: self.ids.iter().cloned().collect(),
            all: self.all,
        };
        (selector != Selector::default()).then_some(selector)
    }
}
