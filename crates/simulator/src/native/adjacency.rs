//! Lists of neighbours in two flat arrays: half the memory of a list of lists, and close together in the cache.

use petgraph::{algo::kosaraju_scc, graph::DiGraph};

pub struct Adjacency {
    start: Vec<u32>,
    items: Vec<u32>,
}

impl Adjacency {
    /// The second of each pair is listed under the first, in the order of the pairs.
    pub fn new(count: usize, pairs: &[(u32, u32)]) -> Self {
        let mut start = vec![0_u32; count + 1];
        pairs.iter().for_each(|(from, _)| start[*from as usize + 1] += 1);
        (0..count).for_each(|index| start[index + 1] += start[index]);
        let mut next = start.clone();
        let mut items = vec![0_u32; pairs.len()];
        for (from, to) in pairs {
            items[next[*from as usize] as usize] = *to;
            next[*from as usize] += 1;
        }
        Self { start, items }
    }

    /// Equal pairs are listed once; the lists are in order.
    pub fn distinct(count: usize, pairs: &[(u32, u32)]) -> Self {
        // Sorted by the first of each pair without comparing, so that only short lists are left to be sorted.
        let mut all = Self::new(count, pairs);
        let (mut begin, mut kept) = (0, 0);
        for index in 0..count {
            let (first, end) = (kept, all.start[index + 1] as usize);
            all.items[begin..end].sort_unstable();
            for at in begin..end {
                let item = all.items[at];
                if kept == first || all.items[kept - 1] != item {
                    all.items[kept] = item;
                    kept += 1;
                }
            }
            all.start[index] = first as u32;
            begin = end;
        }
        all.start[count] = kept as u32;
        all.items.truncate(kept);
        all
    }

    pub fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let ends = self.start.windows(2).zip(0..);
        ends.flat_map(|(ends, from)| {
            self.items[ends[0] as usize..ends[1] as usize].iter().map(move |to| (from, *to))
        })
    }

    #[inline]
    pub fn of(&self, index: usize) -> &[u32] {
        &self.items[self.start[index] as usize..self.start[index + 1] as usize]
    }

    /// The strongly connected component of each index: indexes that reach each other have the same number.
    pub fn components(&self) -> Vec<u32> {
        let count = self.start.len() - 1;
        let mut graph = DiGraph::<(), ()>::from_edges(self.pairs());
        while graph.node_count() < count {
            graph.add_node(());
        }
        let mut component_of = vec![0; count];
        for (members, number) in kosaraju_scc(&graph).iter().zip(0..) {
            members.iter().for_each(|member| component_of[member.index()] = number);
        }
        component_of
    }
}

#[cfg(test)]
mod tests {
    use super::Adjacency;

    #[test]
    fn neighbours_keep_their_order() {
        let adjacency = Adjacency::new(3, &[(2, 1), (0, 2), (2, 0)]);
        assert_eq!((adjacency.of(0), adjacency.of(1), adjacency.of(2)), (&[2][..], &[][..], &[1, 0][..]));
    }

    #[test]
    fn equal_pairs_are_listed_once_and_in_order() {
        let pairs = [(2, 1), (0, 2), (2, 0), (2, 1), (0, 2)];
        let distinct = Adjacency::distinct(4, &pairs);
        assert_eq!(distinct.pairs().collect::<Vec<_>>(), [(0, 2), (2, 0), (2, 1)]);
    }

    #[test]
    fn indexes_that_reach_each_other_are_a_component() {
        let pairs = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 4), (5, 5)];
        let components = Adjacency::new(7, &pairs).components();
        assert!(components[0] == components[1] && components[1] == components[2], "{components:?}");
        assert_eq!(components[3], components[4]);
        let mut distinct = components.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4, "{components:?}");
    }
}
