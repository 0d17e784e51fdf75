//! Circles of files that refer to each other: none of them can be read, tested or moved without the others.

use std::collections::BTreeSet;

use super::source::{Source, Target};

/// Files of one circle, as their places in the crate's `src`; every circle of more than `most` files.
///
/// A file may use what the modules around it define: a `mod.rs` with its submodules is one thing in several files. All
/// else counts, through re-exports to where a thing is defined.
pub fn longer_than(most: usize, source: &Source) -> Vec<Vec<String>> {
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); source.files.len()];
    for reference in &source.references {
        let from = source.modules[reference.module].file;
        if let Target::Own { module, .. } = source.resolve(reference.module, &reference.segments) {
            let to = source.modules[module].file;
            let (path, target) = (&source.modules[from].path, &source.modules[to].path);
            if !path.starts_with(target) {
                edges[from].insert(to);
            }
        }
    }
    let mut circles: Vec<Vec<String>> = components(&edges)
        .into_iter()
        .filter(|circle| circle.len() > most)
        .map(|circle| {
            let mut names: Vec<String> =
                circle.into_iter().map(|file| source.files[file].path.display().to_string()).collect();
            names.sort();
            names
        })
        .collect();
    circles.sort();
    circles
}

/// Strongly connected components: what is reached from a file and leads back to it.
fn components(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut backwards: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for to in targets {
            backwards[*to].insert(from);
        }
    }
    let mut assigned = vec![false; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if !assigned[start] {
            let ahead = reached(start, edges);
            let behind = reached(start, &backwards);
            let circle: Vec<usize> = ahead.intersection(&behind).copied().collect();
            circle.iter().for_each(|file| assigned[*file] = true);
            found.push(circle);
        }
    }
    found
}

fn reached(start: usize, edges: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        open.extend(edges[file].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circle_is_found_whichever_way_it_is_closed() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::{b::B};"),
            ("b.rs", "pub struct B(super::c::C);"),
            ("c.rs", "pub struct C; fn f() { log!(crate::a::f()) }"),
            ("d.rs", "use crate::a;\n#[cfg(test)] mod tests {}"),
        ];
        let files: Vec<_> = files.iter().map(|(place, text)| (place.into(), (*text).to_owned())).collect();
        let source = Source::parse(&files).unwrap();
        assert_eq!(longer_than(2, &source), [["a.rs", "b.rs", "c.rs"]]);
        assert!(longer_than(3, &source).is_empty());
    }
}
