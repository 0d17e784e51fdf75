//! Policies, compliance, scans, inventories, advisories, exceptions, calendars and the reading of runs over real HTTP, a real PostgreSQL, the
//! real CMDB, and, where hosts are scanned, the real sim-engine and Ansible.

mod access_table;
mod advisories;
mod agents;
mod audit;
mod bad_input;
mod baselines;
mod calendars;
mod channels;
mod compliance;
mod console;
mod coverage;
mod exceptions;
mod feeds;
mod fetched_feeds;
mod fleet;
mod host_list;
mod inventory;
mod oidc;
mod platform;
mod policies;
mod real_feeds;
mod release_rules;
mod runs;
mod scale;
mod scans;
mod search;
mod undated;
mod weakening;
mod what_if;
