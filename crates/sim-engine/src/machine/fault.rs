//! Injected faults: when they strike, and that the same seed strikes the same way again.

use api_types::sim::{Fault, FaultKind};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Machine;

/// A fault, with what decides its next draw.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultState {
    pub id: Uuid,
    pub kind: FaultKind,
    pub vm_id: CiId,
    pub probability: f64,
    /// Strikes left; `None` has no end.
    pub times_left: Option<u32>,
    pub service: Option<String>,
    pub delay_seconds: Option<f64>,
    pub seed: u64,
    /// How often it was drawn for, hit or not.
    pub draws: u64,
    pub strikes: u32,
    pub created_at: DateTime<Utc>,
}

/// A strike, and what it is aimed at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub service: Option<String>,
    pub delay_seconds: Option<f64>,
}

impl FaultState {
    pub fn is_live(&self) -> bool {
        self.times_left != Some(0)
    }

    /// Draws once; a hit is counted and may spend the fault.
    fn draw(&mut self) -> bool {
        let hit = self.chance() < self.probability;
        self.draws += 1;
        if hit {
            self.strikes = self.strikes.saturating_add(1);
            self.times_left = self.times_left.map(|left| left.saturating_sub(1));
        }
        hit
    }

    /// A number in [0, 1) that depends on the seed, the machine, the kind and the number of the draw alone, so that an
    /// experiment repeats on another installation.
    fn chance(&self) -> f64 {
        let text = format!("{}/{}/{:?}/{}", self.seed, self.vm_id, self.kind, self.draws);
        let digest = Sha256::digest(text.as_bytes());
        let bits = digest.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        // 53 bits are what a double holds exactly.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl From<FaultState> for Fault {
    fn from(fault: FaultState) -> Self {
        Self {
            id: fault.id,
            kind: fault.kind,
            vm_id: fault.vm_id,
            probability: fault.probability,
            times_left: fault.times_left,
            service: fault.service,
            delay_seconds: fault.delay_seconds,
            strikes: fault.strikes,
            created_at: fault.created_at,
        }
    }
}

impl Machine {
    pub(super) fn has_fault(&self, kind: FaultKind) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind && fault.is_live())
    }

    /// Lets every live fault of a kind try to strike.
    pub(super) fn strike(&mut self, kind: FaultKind) -> Vec<Hit> {
        self.strike_where(kind, |_| true)
    }

    /// Lets those live faults of a kind try to strike that apply to the operation.
    pub(super) fn strike_where(
        &mut self,
        kind: FaultKind,
        applies: impl Fn(&FaultState) -> bool,
    ) -> Vec<Hit> {
        let mut hits = Vec::new();
        for fault in &mut self.faults {
            if fault.kind == kind && fault.is_live() && applies(fault) && fault.draw() {
                self.struck.push((fault.id, kind));
                hits.push(Hit { service: fault.service.clone(), delay_seconds: fault.delay_seconds });
            }
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(probability: f64, times_left: Option<u32>, seed: u64) -> FaultState {
        FaultState {
            id: Uuid::nil(),
            kind: FaultKind::PatchFailure,
            vm_id: CiId::new("web-01").unwrap(),
            probability,
            times_left,
            service: None,
            delay_seconds: None,
            seed,
            draws: 0,
            strikes: 0,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn draws(mut fault: FaultState) -> Vec<bool> {
        (0..1000).map(|_| fault.draw()).collect()
    }

    #[test]
    fn same_seed_strikes_the_same_way() {
        assert_eq!(draws(fault(0.5, None, 7)), draws(fault(0.5, None, 7)));
        assert_ne!(draws(fault(0.5, None, 7)), draws(fault(0.5, None, 8)));
    }

    #[test]
    fn strikes_come_as_often_as_the_probability_says() {
        let hits = draws(fault(0.3, None, 1)).into_iter().filter(|hit| *hit).count();
        assert!((250..350).contains(&hits), "{hits} of 1000 at 0.3");
        assert!(draws(fault(1.0, None, 1)).into_iter().all(|hit| hit));
    }

    #[test]
    fn fault_is_spent_after_its_times() {
        let mut fault = fault(1.0, Some(2), 0);
        fault.draw();
        assert!(fault.is_live());
        fault.draw();
        assert!(!fault.is_live());
        assert_eq!(fault.strikes, 2);
    }
}
