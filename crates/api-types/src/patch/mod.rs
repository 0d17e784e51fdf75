//! The patch-manager.
