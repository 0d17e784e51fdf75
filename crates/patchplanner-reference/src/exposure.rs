//! The sum over unpatched nodes of criticality x severity, kept up to date without visiting all of them.

use planner::Scenario;

use crate::ordered_sum::OrderedSum;

/// The reference adds floats in file order for every interval, and if severities are not binary fractions the last digits
/// depend on that order. If all of them are (7.5 is, 6.1 is not), every order has the same sum.
pub enum Exposure {
    Exact { sixteenths: u64 },
    InOrder(Box<OrderedSum>),
}

/// Resolution of exact sums; ten million nodes of the highest weight still fit a float's 53 bits.
const PARTS: f64 = 16.0;

impl Exposure {
    pub fn new(scenario: &Scenario, exposed: &[bool]) -> Self {
        let all = scenario.nodes.iter().map(|node| node.weight());
        let weights =
            || all.clone().zip(exposed).map(|(weight, exposed)| if *exposed { weight } else { 0.0 });
        if all.clone().all(|weight| (weight * PARTS).fract() == 0.0) {
            Self::Exact { sixteenths: weights().map(|weight| (weight * PARTS) as u64).sum() }
        } else {
            Self::InOrder(Box::new(OrderedSum::new(weights().collect())))
        }
    }

    /// Called when a node gains (`false`) or loses its patch.
    pub fn set(&mut self, node: usize, weight: f64, is_exposed: bool) {
        match self {
            Self::Exact { sixteenths } if is_exposed => *sixteenths += (weight * PARTS) as u64,
            Self::Exact { sixteenths } => *sixteenths -= (weight * PARTS) as u64,
            Self::InOrder(sum) => sum.set(node, if is_exposed { weight } else { 0.0 }),
        }
    }

    pub fn rate(&mut self) -> f64 {
        match self {
            Self::Exact { sixteenths } => *sixteenths as f64 / PARTS,
            Self::InOrder(sum) => sum.total(),
        }
    }
}
