//! What needs more than one capability.

pub(crate) mod search;
