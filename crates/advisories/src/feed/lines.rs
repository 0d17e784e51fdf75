//! Lines of bounded length.

use std::io::{self, BufRead};

/// The next line.
pub(crate) enum Line {
    /// The line without its line feed is in the buffer.
    Text,
    /// Longer than the limit; it was skipped to its end.
    TooLong,
    End,
}

/// Reads the next line into `buffer`, which is emptied first and never grows beyond the limit.
pub(crate) fn read_line(source: &mut impl BufRead, buffer: &mut Vec<u8>, limit: u64) -> io::Result<Line> {
    buffer.clear();
    let mut too_long = false;
    let mut met_any = false;
    loop {
        let chunk = match source.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(match (met_any, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Text,
            });
        }
        met_any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        if !too_long && (buffer.len() + taken) as u64 <= limit {
            buffer.extend_from_slice(&chunk[..taken]);
        } else {
            too_long = true;
            buffer.clear();
        }
        source.consume(end.map_or(taken, |at| at + 1));
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_is_skipped_and_the_next_is_read() {
        let mut source = io::BufReader::with_capacity(3, &b"one\naaaaaaaaaaaa\n\ntwo"[..]);
        let mut buffer = Vec::new();
        let mut next = || read_line(&mut source, &mut buffer, 5).map(|line| (line, buffer.clone())).unwrap();
        assert!(matches!(next(), (Line::Text, text) if text == b"one"));
        assert!(matches!(next(), (Line::TooLong, _)));
        assert!(matches!(next(), (Line::Text, text) if text.is_empty()));
        assert!(matches!(next(), (Line::Text, text) if text == b"two"));
        assert!(matches!(next(), (Line::End, _)));
    }
}
