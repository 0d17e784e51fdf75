//! The sum over unpatched nodes of criticality x severity, at any time.

use planner::Scenario;

/// The reference adds floats in file order for every interval, and where severities are no binary fractions the last
/// digits depend on that order. Where all of them are (7.5 is, 6.1 is not), any order gives the same sum, and the sum
/// is kept up to date instead of being made anew.
pub enum Exposure {
    Exact { sixteenths: u64 },
    InOrder { weights: Vec<f64>, exposed: Vec<bool> },
}

/// Resolution of exact sums; ten million nodes of the highest weight still fit a float's 53 bits.
const PARTS: f64 = 16.0;

impl Exposure {
    pub fn new(scenario: &Scenario, exposed: Vec<bool>) -> Self {
        let weights: Vec<f64> = scenario.nodes.iter().map(|node| node.weight()).collect();
        match weights.iter().all(|weight| (weight * PARTS).fract() == 0.0) {
            true => {
                let exposed = weights.iter().zip(&exposed).filter(|(_, exposed)| **exposed);
                Self::Exact { sixteenths: exposed.map(|(weight, _)| (weight * PARTS) as u64).sum() }
            }
            false => Self::InOrder { weights, exposed },
        }
    }

    /// Called when a node gains (`false`) or loses its patch.
    pub fn set(&mut self, node: usize, weight: f64, is_exposed: bool) {
        match self {
            Self::Exact { sixteenths } if is_exposed => *sixteenths += (weight * PARTS) as u64,
            Self::Exact { sixteenths } => *sixteenths -= (weight * PARTS) as u64,
            Self::InOrder { exposed, .. } => exposed[node] = is_exposed,
        }
    }

    pub fn rate(&self) -> f64 {
        match self {
            Self::Exact { sixteenths } => *sixteenths as f64 / PARTS,
            Self::InOrder { weights, exposed } => {
                weights.iter().zip(exposed).filter(|(_, exposed)| **exposed).fold(0.0, |sum, (w, _)| sum + w)
            }
        }
    }
}
