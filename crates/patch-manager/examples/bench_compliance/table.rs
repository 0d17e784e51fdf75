//! The table that is printed.

/// One figure against its target.
pub struct Row {
    pub what: String,
    pub ours: String,
    pub obvious: String,
    pub ratio: String,
    pub target: String,
    /// `None` where there is no target.
    pub met: Option<bool>,
}

#[derive(Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    pub fn add(
        &mut self,
        what: &str,
        ours: String,
        obvious: String,
        ratio: String,
        target: &str,
        met: Option<bool>,
    ) {
        let row = Row { what: what.to_owned(), ours, obvious, ratio, target: target.to_owned(), met };
        eprintln!("  {}: {} | {} | {} | {}", row.what, row.ours, row.obvious, row.ratio, verdict(&row));
        self.0.push(row);
    }

    pub fn print(&self) {
        println!(
            "{:<44} {:>24} {:>24} {:>12} {:>12}  ",
            "what", "ours", "the obvious way", "ratio", "target"
        );
        for row in &self.0 {
            println!(
                "{:<44} {:>24} {:>24} {:>12} {:>12}  {}",
                row.what,
                row.ours,
                row.obvious,
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
