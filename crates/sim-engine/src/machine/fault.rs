//! Injected faults. The same seed strikes in the same way again.

use api_types::sim::{Fault, FaultKind};
use sha2::{Digest, Sha256};

use super::Machine;

/// A fault, and what determines its next draw.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultState {
    pub shown: Fault,
    pub seed: u64,
    /// Number of draws so far, hits or not.
    pub draws: u64,
}

/// A strike and its target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strike {
    pub service: Option<String>,
    pub delay_seconds: Option<f64>,
}

impl FaultState {
    pub fn is_live(&self) -> bool {
        self.shown.times_left != Some(0)
    }

    /// Draws once. A hit is counted and may spend the fault.
    fn draw(&mut self) -> bool {
        let hit = self.chance() < self.shown.probability;
        self.draws += 1;
        if hit {
            self.shown.strikes = self.shown.strikes.saturating_add(1);
            self.shown.times_left = self.shown.times_left.map(|left| left.saturating_sub(1));
        }
        hit
    }

    /// A number in [0, 1) that depends only on the seed, the machine, the kind and the number of the draw, so that an
    /// experiment can be repeated on another installation.
    fn chance(&self) -> f64 {
        let text = format!("{}/{}/{:?}/{}", self.seed, self.shown.vm_id, self.shown.kind, self.draws);
        let digest = Sha256::digest(text.as_bytes());
        let bits = digest.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        // A double holds 53 bits exactly.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Machine {
    pub(super) fn has_fault(&self, kind: FaultKind) -> bool {
        self.faults.iter().any(|fault| fault.shown.kind == kind && fault.is_live())
    }

    /// Lets every live fault of a kind try to strike.
    pub(super) fn strike(&mut self, kind: FaultKind) -> Vec<Strike> {
        self.strike_where(kind, |_| true)
    }

    /// Lets every live fault of a kind that applies to the operation try to strike.
    pub(super) fn strike_where(
        &mut self,
        kind: FaultKind,
        applies: impl Fn(&FaultState) -> bool,
    ) -> Vec<Strike> {
        let mut strikes = Vec::new();
        for fault in &mut self.faults {
            if fault.shown.kind == kind && fault.is_live() && applies(fault) && fault.draw() {
                let Fault { id, service, delay_seconds, .. } = &fault.shown;
                self.struck.push((*id, kind));
                strikes.push(Strike { service: service.clone(), delay_seconds: *delay_seconds });
            }
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::ids::CiId;
    use uuid::Uuid;

    use super::*;

    fn fault(probability: f64, times_left: Option<u32>, seed: u64) -> FaultState {
        let shown = Fault {
            id: Uuid::nil(),
            kind: FaultKind::PatchFailure,
            vm_id: CiId::new("web-01").unwrap(),
            probability,
            times_left,
            service: None,
            delay_seconds: None,
            strikes: 0,
            created_at: DateTime::UNIX_EPOCH,
        };
        FaultState { shown, seed, draws: 0 }
    }

    fn draws(mut fault: FaultState) -> Vec<bool> {
        (0..1000).map(|_| fault.draw()).collect()
    }

    #[test]
    fn same_seed_strikes_in_the_same_way() {
        assert_eq!(draws(fault(0.5, None, 7)), draws(fault(0.5, None, 7)));
        assert_ne!(draws(fault(0.5, None, 7)), draws(fault(0.5, None, 8)));
    }

    #[test]
    fn strike_rate_is_the_probability() {
        let hits = draws(fault(0.3, None, 1)).into_iter().filter(|hit| *hit).count();
        assert!((250..350).contains(&hits), "{hits} of 1000 at 0.3");
        assert!(draws(fault(1.0, None, 1)).into_iter().all(|hit| hit));
    }

    #[test]
    fn fault_is_spent_after_the_given_number_of_strikes() {
        let mut fault = fault(1.0, Some(2), 0);
        fault.draw();
        assert!(fault.is_live());
        fault.draw();
        assert!(!fault.is_live());
        assert_eq!(fault.shown.strikes, 2);
    }
}
