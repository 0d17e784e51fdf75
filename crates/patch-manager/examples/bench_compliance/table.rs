//! The printed table.

/// One figure against its target.
pub struct Row {
    pub what: String,
    pub ours: String,
    pub baseline: String,
    pub ratio: String,
    pub target: String,
    /// `None` without a target.
    pub met: Option<bool>,
}

#[derive(Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    pub fn add(
        &mut self,
        what: &str,
        ours: String,
        baseline: String,
        ratio: String,
        target: &str,
        met: Option<bool>,
    ) {
        let row = Row { what: what.to_owned(), ours, baseline, ratio, target: target.to_owned(), met };
        eprintln!("  {}: {} | {} | {} | {}", row.what, row.ours, row.baseline, row.ratio, verdict(&row));
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("{:<44} {:>24} {:>24} {:>12} {:>12}  ", "what", "ours", "baseline", "ratio", "target");
        for row in &self.0 {
            println!(
                "{:<44} {:>24} {:>24} {:>12} {:>12}  {}",
                row.what,
                row.ours,
                row.baseline,
                row.ratio,
                row.target,
                verdict(row)
            );
        }
    }
}

fn verdict(row: &Row) -> &'static str {
    match row.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}
