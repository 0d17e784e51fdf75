//! The output of the demo: numbered chapters, one fact per line, tables.

use std::time::Instant;

use terminal::columns;

/// Prints the time since the start in front of each line.
pub(super) struct Screen {
    began: Instant,
    chapter: u32,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), chapter: 0 }
    }

    pub(super) fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        println!("\n{}. {title}", self.chapter);
    }

    pub(super) fn say(&self, text: impl AsRef<str>) {
        println!("   {:>5.1} s  {}", self.began.elapsed().as_secs_f64(), text.as_ref());
    }

    pub(super) fn table(&self, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        for line in columns(headings, rows.into_iter().collect()).lines() {
            println!("            {line}");
        }
    }
}
