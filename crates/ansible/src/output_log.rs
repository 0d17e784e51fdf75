//! The output of `ansible-playbook`, for people: redacted, and bounded in length.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tokio::io::AsyncRead;

use crate::{lines::BoundedLines, run_folder::create_private, secret::Redactor};

const LARGEST_LOG_BYTES: usize = 16 * 1024 * 1024;
/// More than is kept, so that the redactor sees a secret at the end of the kept part as a whole.
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

    /// Reads to the end even when the log is full: a full pipe would stop the play.
    pub async fn copy_from(mut self, output: impl AsyncRead + Unpin) {
        let mut lines = BoundedLines::new(output, LONGEST_LINE_READ);
        loop {
            match lines.next().await {
                Ok(Some(line)) => self.write(&line.bytes, line.cut),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the output of ansible-playbook any more");
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
            line = "[the log ends here: it has reached its maximum size]\n".into();
            self.room = 0;
        } else {
            self.room -= line.len();
        }
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "cannot write the log of a playbook run any more");
            self.room = 0;
        }
    }
}
