//! Compressed feeds: gzip, xz and bzip2, recognised by their first bytes.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::Limits;

/// Dictionaries of real feeds take 8 MiB, those of `xz -9` take 64.
const XZ_MEMORY_KIB: u32 = 72 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Bzip2,
    Gzip,
    Xz,
}

impl Packing {
    pub fn of(prefix: &[u8]) -> Option<Self> {
        match prefix {
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The unpacked source. Reading fails once it exceeds both [`Limits::archive_ratio`] times the bytes read of the source
    /// and [`Limits::archive_floor_bytes`].
    pub fn unpack<'a>(self, source: impl BufRead + 'a, limits: &Limits) -> Box<dyn BufRead + 'a> {
        let packed_bytes = Rc::new(Cell::new(0));
        let source = Counted { source, bytes: Rc::clone(&packed_bytes) };
        let unpacked: Box<dyn Read + 'a> = match self {
            Self::Bzip2 => Box::new(MultiBzDecoder::new(source)),
            Self::Gzip => Box::new(MultiGzDecoder::new(source)),
            Self::Xz => Box::new(XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB)),
        };
        Box::new(BufReader::with_capacity(
            64 * 1024,
            Guarded {
                unpacked,
                unpacked_bytes: 0,
                packed_bytes,
                ratio: limits.archive_ratio,
                floor: limits.archive_floor_bytes,
            },
        ))
    }
}

/// Counts the bytes read of the packed source.
struct Counted<R> {
    source: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.set(self.bytes.get() + amount as u64);
        self.source.consume(amount);
    }
}

struct Guarded<R> {
    unpacked: R,
    unpacked_bytes: u64,
    packed_bytes: Rc<Cell<u64>>,
    ratio: u64,
    floor: u64,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        self.unpacked_bytes += read as u64;
        let most = self.packed_bytes.get().saturating_mul(self.ratio).max(self.floor);
        if self.unpacked_bytes > most {
            let reason = format!(
                "it unpacks to more than {most} bytes, more than any real feed; the rest was not read"
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_in_all_its_members() {
        let mut packed = gzip(b"one ");
        packed.extend(gzip(b"two"));
        assert_eq!(Packing::of(&packed), Some(Packing::Gzip));
        let mut text = String::new();
        Packing::Gzip.unpack(&packed[..], &Limits::default()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn bzip2_is_unpacked_in_all_its_streams() {
        let pack = |text: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let packed = [pack(b"one "), pack(b"two")].concat();
        assert_eq!(Packing::of(&packed), Some(Packing::Bzip2));
        let mut text = String::new();
        Packing::Bzip2.unpack(&packed[..], &Limits::default()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn bomb_is_stopped() {
        let limits = Limits { archive_floor_bytes: 1 << 20, ..Limits::default() };
        let packed = gzip(&vec![b'a'; 16 << 20]);
        let error = io::copy(&mut Packing::Gzip.unpack(&packed[..], &limits), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("more than any real feed"), "{error}");
    }

    #[test]
    fn damage_is_an_error() {
        for packed in [&b"\x1f\x8b\x08nonsense"[..], b"BZh9nonsense", b"\xFD7zXZ\0nonsense", b"\xFD7zXZ\0"] {
            let packing = Packing::of(packed).unwrap();
            let mut unpacked = packing.unpack(packed, &Limits::default());
            assert!(io::copy(&mut unpacked, &mut io::sink()).is_err());
        }
    }
}
