//! ansible
