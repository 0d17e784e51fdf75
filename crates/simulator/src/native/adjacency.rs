//! Lists of neighbours in two flat arrays: half the memory of a list of lists, and close together in the cache.

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
    /// The strongly connected component of each index: indexes that reach each other have the same number (R. Tarjan, 1972).
    pub fn components(&self) -> Vec<u32> {
        let count = self.start.len() - 1;
        let mut search = Search {
            component_of: vec![NONE; count],
            found: vec![NONE; count],
            lowest: vec![0; count],
            open: Vec::new(),
            components: 0,
            next: 0,
        };
        // Index and how many of its neighbours have been visited: a path instead of a recursion.
        let mut path: Vec<(u32, u32)> = Vec::new();
        for root in 0..count as u32 {
            if search.found[root as usize] == NONE {
                search.enter(root);
                path.push((root, 0));
            }
            while let Some((at, looked)) = path.last_mut() {
                let at = *at;
                match self.of(at as usize).get(*looked as usize).copied() {
                    Some(neighbour) => {
                        *looked += 1;
                        if search.found[neighbour as usize] == NONE {
                            search.enter(neighbour);
                            path.push((neighbour, 0));
                        } else if search.component_of[neighbour as usize] == NONE {
                            search.lower(at, search.found[neighbour as usize]);
                        }
                    }
                    None => {
                        path.pop();
                        search.leave(at);
                        if let Some((before, _)) = path.last() {
                            search.lower(*before, search.lowest[at as usize]);
                        }
                    }
                }
            }
        }
        search.component_of
    }
}

const NONE: u32 = u32::MAX;

struct Search {
    component_of: Vec<u32>,
    /// When each was found first.
    found: Vec<u32>,
    /// The earliest found that it reaches.
    lowest: Vec<u32>,
    open: Vec<u32>,
    components: u32,
    next: u32,
}

impl Search {
    fn enter(&mut self, index: u32) {
        (self.found[index as usize], self.lowest[index as usize]) = (self.next, self.next);
        self.next += 1;
        self.open.push(index);
    }

    fn lower(&mut self, index: u32, reached: u32) {
        let lowest = &mut self.lowest[index as usize];
        *lowest = (*lowest).min(reached);
    }

    fn leave(&mut self, index: u32) {
        if self.lowest[index as usize] != self.found[index as usize] {
            return;
        }
        while let Some(member) = self.open.pop() {
            self.component_of[member as usize] = self.components;
            if member == index {
                break;
            }
        }
        self.components += 1;
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
