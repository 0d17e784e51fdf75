//! Connected components by union-find.

use petgraph::unionfind::UnionFind;

/// The component of each of `count` nodes, numbered from 0 by first appearance.
pub fn components(count: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut union = UnionFind::new(count);
    for (a, b) in pairs {
        union.union(a, b);
    }
    let mut number = vec![usize::MAX; count];
    let mut next = 0;
    let mut number_of = |root: usize| {
        if number[root] == usize::MAX {
            number[root] = next;
            next += 1;
        }
        number[root]
    };
    union.into_labeling().into_iter().map(&mut number_of).collect()
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn components_are_numbered_by_first_appearance() {
        assert_eq!(components(6, [(5, 1), (3, 4), (1, 3)]), [0, 1, 2, 1, 1, 1]);
    }
}
