//! What `ansible-playbook` prints, for people: redacted, and bounded in length.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tokio::io::AsyncRead;

use crate::{lines::BoundedLines, run_folder::create_private, secret::Redactor};

const LARGEST_LOG_BYTES: usize = 16 * 1024 * 1024;
/// Read of one line, so that a secret in the part that is kept is whole when it is looked for.
const LONGEST_LINE_READ: usize = 128 * 1024;
const LONGEST_LINE_KEPT: usize = 16 * 1024;

pub(crate) struct OutputLog {
    file: File,
    redactor: Redactor,
    room: usize,
}

impl OutputLog {
    pub fn create(path: &Path, redactor: Redactor) -> io::Result<Self> {
        Ok(Self { file: create_private(path)?, redactor, room: LARGEST_LOG_BYTES })
    }

    /// Reads to the end, also when nothing more is written: a full pipe would stop the play.
    pub async fn copy_from(mut self, output: impl AsyncRead + Unpin) {
        let mut lines = BoundedLines::new(output, LONGEST_LINE_READ);
        loop {
            match lines.next().await {
                Ok(Some(line)) => self.write(&line.bytes, line.cut),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the output of ansible-playbook cannot be read any more");
                    return;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8], cut: bool) {
        if self.room == 0 {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let mut line = self.redactor.redact(&text).into_owned();
        if cut || line.len() > LONGEST_LINE_KEPT {
            let end = (0..=LONGEST_LINE_KEPT.min(line.len()))
                .rev()
                .find(|at| line.is_char_boundary(*at))
                .unwrap_or(0);
            line.truncate(end);
            line.push_str(" [line cut]");
        }
        line.push('\n');
        if line.len() > self.room {
            line = "[the log ends here: it has reached its largest size]\n".into();
            self.room = 0;
        } else {
            self.room -= line.len();
        }
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the log of a playbook run cannot be written any more");
            self.room = 0;
        }
    }
}
