//! Connected components by union-find.

/// The component of each of `count` nodes, numbered from 0 by first appearance.
pub fn components(count: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..count).collect();
    for (a, b) in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        // The smaller index stays the root, so that numbering by first appearance needs no second table.
        parent[a.max(b)] = a.min(b);
    }
    let mut number = vec![usize::MAX; count];
    let mut next = 0;
    for node in 0..count {
        let root = root(&mut parent, node);
        if number[root] == usize::MAX {
            number[root] = next;
            next += 1;
        }
        number[node] = number[root];
    }
    number
}

fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn components_are_numbered_by_first_appearance() {
        assert_eq!(components(6, [(5, 1), (3, 4), (1, 3)]), [0, 1, 2, 1, 1, 1]);
    }
}
