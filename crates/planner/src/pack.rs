//! Packs units of work into waves within every budget.

use std::collections::{BTreeMap, BTreeSet};

/// Hosts that must be patched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Indexes of hosts, ascending.
    pub hosts: Vec<usize>,
    /// How many hosts each service loses while the unit is patched.
    pub load: BTreeMap<usize, usize>,
}

/// What one wave may take down.
pub struct Budgets<'a> {
    pub max_parallel: usize,
    /// Members that each service can spare.
    pub spare: &'a [usize],
}

impl Budgets<'_> {
    /// Whether the unit by itself fits into a wave.
    pub fn allow(&self, unit: &Unit) -> bool {
        unit.hosts.len() <= self.max_parallel
            && unit.load.iter().all(|(service, load)| *load <= self.spare[*service])
    }
}

/// Waves of unit indexes. `units` come in order of preference; unit `u` goes into a wave after those of `after[u]`.
///
/// Greedy: each wave takes the first units that still fit. A unit that fits into no wave becomes a wave of its own once
/// nothing else can be placed, so every unit is placed and the linter can report it. `after` must have no cycle.
///
/// Units with the same load all fit or all do not, so they wait in one queue and a wave checks only the head of each queue:
/// the cost does not grow with the units that wait behind a busy service.
pub fn pack(units: &[Unit], after: &[Vec<usize>], budgets: &Budgets) -> Vec<Vec<usize>> {
    let mut queue_of_load: BTreeMap<(usize, &BTreeMap<usize, usize>), usize> = BTreeMap::new();
    let queue_of: Vec<usize> = units
        .iter()
        .map(|unit| {
            let next = queue_of_load.len();
            *queue_of_load.entry((unit.hosts.len(), &unit.load)).or_insert(next)
        })
        .collect();
    let mut queues: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); queue_of_load.len()];
    let mut missing: Vec<usize> = after.iter().map(Vec::len).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    for (unit, providers) in after.iter().enumerate() {
        providers.iter().for_each(|provider| dependents[*provider].push(unit));
    }
    (0..units.len()).filter(|unit| missing[*unit] == 0).for_each(|unit| {
        queues[queue_of[unit]].insert(unit);
    });

    let mut heads: BTreeSet<usize> = queues.iter().filter_map(|queue| queue.first().copied()).collect();
    let mut waves = Vec::new();
    while let Some(first) = heads.first().copied() {
        let mut wave = Vec::new();
        let mut room = budgets.max_parallel;
        let mut used: BTreeMap<usize, usize> = BTreeMap::new();
        let mut blocked = Vec::new();
        while room > 0
            && let Some(unit) = heads.pop_first()
        {
            let Unit { hosts, load } = &units[unit];
            let fits = hosts.len() <= room
                && load
                    .iter()
                    .all(|(service, load)| used.get(service).unwrap_or(&0) + load <= budgets.spare[*service]);
            if fits {
                room -= hosts.len();
                load.iter().for_each(|(service, load)| *used.entry(*service).or_default() += load);
                wave.push(unit);
                let queue = &mut queues[queue_of[unit]];
                queue.remove(&unit);
                heads.extend(queue.first());
            } else {
                blocked.push(unit);
            }
        }
        heads.extend(blocked);
        if wave.is_empty() {
            wave.push(first);
            heads.remove(&first);
            let queue = &mut queues[queue_of[first]];
            queue.remove(&first);
            heads.extend(queue.first());
        }
        for unit in &wave {
            for dependent in &dependents[*unit] {
                missing[*dependent] -= 1;
                if missing[*dependent] == 0 {
                    let queue = &mut queues[queue_of[*dependent]];
                    if let Some(head) = queue.first().copied() {
                        heads.remove(&head);
                    }
                    queue.insert(*dependent);
                    heads.extend(queue.first());
                }
            }
        }
        waves.push(wave);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(host: usize, service: usize) -> Unit {
        Unit { hosts: vec![host], load: BTreeMap::from([(service, 1)]) }
    }

    #[test]
    fn each_wave_takes_what_services_can_spare() {
        let units: Vec<Unit> = (0..5).map(|host| unit(host, usize::from(host > 2))).collect();
        let waves = pack(&units, &vec![vec![]; 5], &Budgets { max_parallel: 10, spare: &[2, 1] });
        assert_eq!(waves, [vec![0, 1, 3], vec![2, 4]]);
    }

    #[test]
    fn unit_that_never_fits_becomes_a_wave_of_its_own_at_the_end() {
        let units = [unit(0, 0), unit(1, 1), unit(2, 1)];
        let waves = pack(&units, &vec![vec![]; 3], &Budgets { max_parallel: 10, spare: &[0, 1] });
        assert_eq!(waves, [vec![1], vec![2], vec![0]]);
    }

    #[test]
    fn providers_come_in_an_earlier_wave() {
        let units: Vec<Unit> = (0..3).map(|host| unit(host, 0)).collect();
        let after = [vec![1], vec![2], vec![]];
        assert_eq!(
            pack(&units, &after, &Budgets { max_parallel: 9, spare: &[9] }),
            [vec![2], vec![1], vec![0]]
        );
    }
}
