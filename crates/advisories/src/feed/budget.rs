//! A source that fails when one record is larger than any real one.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// How many bytes the current record may still use. The reader refills it after each record.
#[derive(Clone)]
pub(super) struct Budget {
    left: Rc<Cell<u64>>,
    whole: u64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: Rc::new(Cell::new(bytes)), whole: bytes }
    }

    pub(super) fn refill(&self) {
        self.left.set(self.whole);
    }

    pub(super) fn of<R>(&self, source: R) -> Budgeted<R> {
        Budgeted { source, budget: self.clone() }
    }

    fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes as u64));
    }

    fn check(&self) -> io::Result<()> {
        match self.left.get() {
            0 => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("one record is larger than {} bytes; the rest was not read", self.whole),
            )),
            _ => Ok(()),
        }
    }
}

pub(super) struct Budgeted<R> {
    source: R,
    budget: Budget,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.budget.check()?;
        let most = usize::try_from(self.budget.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        self.budget.spend(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Budgeted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.budget.check()?;
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.budget.spend(amount);
        self.source.consume(amount);
    }
}
