use advisories::cvss::CvssVector;

use crate::shared::{folder, rows, text};

/// Lines of `vector - (base, temporal, environmental)` or `vector - score`.
fn scored_lines(text: &str) -> Vec<(String, f64)> {
    let scored = text.lines().filter_map(|line| {
        let (vector, scores) = line.split_once(" - ")?;
        let base: f64 = scores.trim_matches(['(', ')']).split(", ").next()?.parse().ok()?;
        Some((vector.to_owned(), base.abs()))
    });
    scored.collect()
}

#[test]
fn scores_agree_with_every_vector() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/cvss")) else { return };
    for file in [
        "vectors_simple2.txt",
        "vectors_simple3.txt",
        "vectors_calculator2.txt",
        "vectors_calculator3.txt",
        "vectors_cvsslib2.txt",
        "vectors_cvsslib3.txt",
        "vectors_security4.txt",
        "vectors_supplemental4.txt",
        "vectors_threat4.txt",
    ] {
        let cases = scored_lines(&text(&folder.join(file)));
        assert!(!cases.is_empty(), "{file}");
        let wrong: Vec<String> = cases
            .iter()
            .filter_map(|(vector, score)| match vector.parse::<CvssVector>() {
                Ok(parsed) if (parsed.score - score).abs() < 0.001 => None,
                other => Some(format!("{vector}: {score}, not {other:?}")),
            })
            .collect();
        assert!(
            wrong.is_empty(),
            "{file}: {} of {}: {:#?}",
            wrong.len(),
            cases.len(),
            &wrong[..wrong.len().min(5)]
        );
    }
}

#[test]
fn malformed_vectors_are_refused() {
    let Some(folder) = folder().map(|folder| folder.join("vectors/cvss")) else { return };
    for row in rows(&folder.join("invalid.tsv")) {
        assert!(row[1].parse::<CvssVector>().is_err(), "`{}` was taken", row[1]);
    }
}
