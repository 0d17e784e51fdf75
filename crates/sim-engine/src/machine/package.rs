//! Package transactions: planned when they start, applied when they are due.

use std::collections::BTreeMap;

use api_types::sim::{FaultKind, PackageChange, StartTransaction, Transaction, TransactionState};
use chrono::{DateTime, Utc};
use domain::package::Packaging;
use uuid::Uuid;

use super::{Machine, seconds};

/// What a repository offers: versions by package, oldest first. No version is parsed: the position is the order, and a
/// version that is not listed is older than all others.
pub type Offers = BTreeMap<String, Vec<String>>;

#[derive(Debug, Clone, PartialEq)]
pub struct PackageTransaction {
    pub id: Uuid,
    pub shown: Transaction,
    pub planned: Vec<PackageChange>,
    pub due_at: DateTime<Utc>,
}

/// A package transaction holds the package lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("package transaction `{transaction_id}` holds the package lock until {due_at}; wait for its end")]
pub struct TransactionRunning {
    transaction_id: String,
    due_at: DateTime<Utc>,
}

impl Machine {
    /// Starts a transaction and returns its state then: running, or ended already. One that takes no time is both.
    pub fn start_transaction(
        &mut self,
        request: &StartTransaction,
        offers: &Offers,
        now: DateTime<Utc>,
    ) -> Result<PackageTransaction, TransactionRunning> {
        self.require_package_lock()?;
        let shown = Transaction {
            transaction_id: request.transaction_id.clone(),
            state: TransactionState::Running,
            changed: Vec::new(),
            failure: None,
            reboot_pending: self.guest.reboot_pending,
            started_at: now,
            finished_at: None,
        };
        let mut transaction =
            PackageTransaction { id: Uuid::now_v7(), shown, planned: Vec::new(), due_at: now };
        match self.plan(&request.packages, offers) {
            Err(failure) => transaction.fail(failure, now),
            Ok(planned) if planned.is_empty() => transaction.end(TransactionState::Completed, now),
            Ok(_) if !self.strike(FaultKind::DiskFull).is_empty() => {
                transaction.fail(self.messages().disk_is_full(), now);
            }
            Ok(planned) => {
                transaction.planned = planned;
                transaction.due_at = now + seconds(self.guest.patch_seconds) + seconds(self.delay());
                self.running = Some(transaction.clone());
            }
        }
        Ok(transaction)
    }

    /// Fails if no package transaction may start now.
    pub(super) fn require_package_lock(&self) -> Result<(), TransactionRunning> {
        self.running.as_ref().map_or(Ok(()), |running| {
            let transaction_id = running.shown.transaction_id.clone();
            Err(TransactionRunning { transaction_id, due_at: running.due_at })
        })
    }

    /// The changes to make, or why the package manager refuses all of them.
    fn plan(&self, wanted: &BTreeMap<String, String>, offers: &Offers) -> Result<Vec<PackageChange>, String> {
        let messages = self.messages();
        let mut planned = Vec::new();
        for (package, to) in wanted {
            let installed = self.guest.packages.get(package);
            if installed == Some(to) {
                continue;
            }
            let versions = offers.get(package).ok_or_else(|| messages.unknown_package(package))?;
            let from = installed.ok_or_else(|| messages.not_installed(package))?;
            let target = position(versions, to).ok_or_else(|| messages.unknown_version(package, to))?;
            if position(versions, from).is_some_and(|installed| installed > target) {
                continue;
            }
            if self.guest.held.contains(package) {
                return Err(messages.held(package));
            }
            planned.push(PackageChange { package: package.clone(), from: from.clone(), to: to.clone() });
        }
        Ok(planned)
    }

    /// Applies a transaction that is due. A failure strikes half way: the first package has changed, the others have
    /// not, and only a revert undoes that.
    pub(super) fn finish_transaction(&mut self, mut transaction: PackageTransaction, at: DateTime<Utc>) {
        let struck = !self.strike(FaultKind::PatchFailure).is_empty();
        let planned = transaction.planned.iter();
        let changed: Vec<_> = planned.take(if struck { 1 } else { usize::MAX }).cloned().collect();
        for change in &changed {
            self.guest.packages.insert(change.package.clone(), change.to.clone());
            self.guest.reboot_pending |= self.guest.reboot_packages.contains(&change.package);
            if self.guest.library_packages.contains(&change.package) {
                self.replace_loaded_code();
            }
        }
        if !changed.is_empty() {
            self.restart_after_update();
        }
        transaction.shown.changed = changed;
        transaction.shown.reboot_pending = self.guest.reboot_pending;
        let culprit = transaction.planned.get(1).or(transaction.planned.first());
        match culprit.filter(|_| struck) {
            Some(culprit) => transaction.fail(self.messages().script_failed(culprit), at),
            None => transaction.end(TransactionState::Completed, at),
        }
        self.ended.push(transaction);
    }

    /// Interrupts the running transaction before it has changed anything.
    pub(super) fn interrupt_transaction(&mut self, why: &str, now: DateTime<Utc>) {
        if let Some(mut transaction) = self.running.take() {
            transaction.fail(format!("interrupted: {why}"), now);
            self.ended.push(transaction);
        }
    }

    fn messages(&self) -> FailureMessages {
        FailureMessages(self.packaging())
    }
}

impl PackageTransaction {
    fn end(&mut self, state: TransactionState, at: DateTime<Utc>) {
        self.shown.state = state;
        self.shown.finished_at = Some(at);
    }

    fn fail(&mut self, failure: String, at: DateTime<Utc>) {
        self.shown.failure = Some(failure);
        self.end(TransactionState::Failed, at);
    }
}

fn position(versions: &[String], version: &str) -> Option<usize> {
    versions.iter().position(|offered| offered == version)
}

/// The newest version on offer, if it is newer than the installed one.
pub(super) fn newest_offer(offers: &Offers, package: &str, installed: &str) -> Option<String> {
    offers.get(package)?.last().filter(|newest| *newest != installed).cloned()
}

/// Failures in the wording of the guest's package manager, which operators know.
struct FailureMessages(Packaging);

impl FailureMessages {
    fn unknown_package(&self, package: &str) -> String {
        match self.0 {
            Packaging::Rpm => format!("Error: Unable to find a match: {package}"),
            Packaging::Dpkg => format!("E: Unable to locate package {package}"),
        }
    }

    fn unknown_version(&self, package: &str, version: &str) -> String {
        match self.0 {
            Packaging::Rpm => format!("Error: Unable to find a match: {package}-{version}"),
            Packaging::Dpkg => format!("E: Version '{version}' for '{package}' was not found"),
        }
    }

    fn not_installed(&self, package: &str) -> String {
        match self.0 {
            Packaging::Rpm => format!("Package {package} available, but not installed."),
            Packaging::Dpkg => format!("E: {package} is not installed, so not upgraded"),
        }
    }

    fn held(&self, package: &str) -> String {
        match self.0 {
            Packaging::Rpm => {
                format!("Error: All matches were filtered out by exclude filtering for argument: {package}")
            }
            Packaging::Dpkg => format!(
                "E: Held packages were changed and -y was used without --allow-change-held-packages: {package}"
            ),
        }
    }

    fn disk_is_full(&self) -> String {
        match self.0 {
            Packaging::Rpm => {
                "Error: Transaction test error: the root filesystem needs more space: No space left on device"
                    .to_owned()
            }
            Packaging::Dpkg => "E: You don't have enough free space in /var/cache/apt/archives/.".to_owned(),
        }
    }

    fn script_failed(&self, change: &PackageChange) -> String {
        let (package, version) = (&change.package, &change.to);
        match self.0 {
            Packaging::Rpm => {
                format!(
                    "Error: %post({package}-{version}) scriptlet failed, exit status 1; Transaction failed"
                )
            }
            Packaging::Dpkg => format!(
                "dpkg: error processing package {package} (--configure): installed {package} package post-installation script subprocess returned error exit status 1"
            ),
        }
    }
}
