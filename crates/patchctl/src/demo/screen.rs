//! How the demo speaks: numbered chapters, one fact a line, tables.

use std::time::Instant;

use comfy_table::{ContentArrangement, Table, presets};

/// Prints as things happen, with the time since the start.
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

    pub(super) fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header.to_vec());
        for row in rows {
            table.add_row(row);
        }
        for line in table.lines() {
            println!("            {line}");
        }
    }
}
