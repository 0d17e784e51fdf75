//! patch-manager
