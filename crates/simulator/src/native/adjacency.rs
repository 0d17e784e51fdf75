//! Lists of neighbours in two flat arrays: half the memory of a list of lists, and near each other.

pub struct Adjacency {
    start: Vec<u32>,
    items: Vec<u32>,
}

impl Adjacency {
    /// The second of each pair is listed under the first, in the order of the pairs.
    pub fn new(count: usize, pairs: &[(usize, usize)]) -> Self {
        let mut start = vec![0_u32; count + 1];
        pairs.iter().for_each(|(from, _)| start[from + 1] += 1);
        (0..count).for_each(|index| start[index + 1] += start[index]);
        let mut next = start.clone();
        let mut items = vec![0_u32; pairs.len()];
        for (from, to) in pairs {
            items[next[*from] as usize] = *to as u32;
            next[*from] += 1;
        }
        Self { start, items }
    }

    pub fn of(&self, index: usize) -> &[u32] {
        &self.items[self.start[index] as usize..self.start[index + 1] as usize]
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
}
