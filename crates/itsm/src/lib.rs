//! itsm
