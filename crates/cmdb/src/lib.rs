//! cmdb
