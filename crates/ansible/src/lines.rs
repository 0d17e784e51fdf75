//! Lines of bounded length, from a writer that is not trusted.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

pub(crate) struct BoundedLines<R> {
    reader: BufReader<R>,
    longest: usize,
}

pub(crate) struct Line {
    pub bytes: Vec<u8>,
    /// It was longer than allowed; the rest of it is lost.
    pub cut: bool,
}

impl<R: AsyncRead + Unpin> BoundedLines<R> {
    pub fn new(reader: R, longest: usize) -> Self {
        Self { reader: BufReader::with_capacity(64 * 1024, reader), longest }
    }

    /// The next line without its line feed; `None` at the end.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { bytes: Vec::new(), cut: false };
        let mut read_any = false;
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok(read_any.then_some(line));
            }
            read_any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = self.longest - line.bytes.len();
            line.bytes.extend_from_slice(&part[..part.len().min(room)]);
            line.cut |= part.len() > room;
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_is_whole() {
        let mut lines = BoundedLines::new(&b"123456\nab\n\nlast"[..], 4);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push((String::from_utf8(line.bytes).unwrap(), line.cut));
        }
        let expected = [("1234", true), ("ab", false), ("", false), ("last", false)];
        assert_eq!(seen, expected.map(|(text, cut)| (text.to_owned(), cut)));
    }
}
