//! Reads any feed: unpacks it, recognises it by its content and calls its reader.

use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::ControlFlow;

use crate::advisory::Advisory;

use super::epss::ExploitPrediction;
use super::kev::KnownExploited;
use super::nvd::CveNote;
use super::{
    FeedError, FeedKind, Limits, PREFIX_BYTES, Packing, ReadReport, RecordError, csaf, debian, epss, kev,
    nvd, osv, recognise, updateinfo,
};

/// One record of any feed.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedRecord {
    Advisory(Box<Advisory>),
    Exploited(KnownExploited),
    Prediction(ExploitPrediction),
    Note(Box<CveNote>),
}

/// Receives each record, or the reason why it was refused. `Break` ends the reading.
pub type Sink<'a> = &'a mut dyn FnMut(Result<FeedRecord, RecordError>) -> ControlFlow<()>;

/// The feed of a file, by its first bytes, which are not consumed. `None` if it is not a known feed.
pub fn recognise_feed(mut source: impl Read + Seek, limits: &Limits) -> io::Result<Option<FeedKind>> {
    source.rewind()?;
    let beginning = read_beginning(&mut source)?;
    let kind = match Packing::of(&beginning) {
        // A file that cannot be unpacked is not a feed.
        Some(packing) => {
            source.rewind()?;
            let unpacked = packing.unpack(BufReader::new(&mut source), limits);
            read_beginning(unpacked).ok().and_then(|beginning| recognise_text(&beginning))
        }
        None => recognise(&beginning),
    };
    source.rewind()?;
    Ok(kind)
}

/// A packed zip is not a known feed.
fn recognise_text(beginning: &[u8]) -> Option<FeedKind> {
    recognise(beginning).filter(|kind| *kind != FeedKind::Archive)
}

fn read_beginning(source: impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    source.take(PREFIX_BYTES as u64).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Reads a file that was recognised as `kind`. `name` is used in errors and warnings.
pub fn read_feed(
    kind: FeedKind,
    mut source: impl Read + Seek,
    name: &str,
    limits: &Limits,
    sink: Sink<'_>,
) -> Result<ReadReport, FeedError> {
    source.rewind().map_err(FeedError::Input)?;
    if kind == FeedKind::Archive {
        let mut sink = |outcome: Result<Advisory, RecordError>| sink(outcome.map(advisory));
        return osv::read_archive(BufReader::new(source), limits, &mut sink);
    }
    let mut magic = Vec::new();
    source.by_ref().take(6).read_to_end(&mut magic).map_err(FeedError::Input)?;
    source.rewind().map_err(FeedError::Input)?;
    let source = BufReader::with_capacity(256 * 1024, source);
    match Packing::of(&magic) {
        Some(packing) => read_text(kind, packing.unpack(source, limits), name, limits, sink),
        None => read_text(kind, source, name, limits, sink),
    }
}

fn read_text(
    kind: FeedKind,
    source: impl BufRead,
    name: &str,
    limits: &Limits,
    sink: Sink<'_>,
) -> Result<ReadReport, FeedError> {
    let mut advisories = |outcome: Result<Advisory, RecordError>| sink(outcome.map(advisory));
    match kind {
        FeedKind::Archive => Err(FeedError::Malformed("an archive must not be compressed again".to_owned())),
        FeedKind::Tar => osv::read_tar(source, limits, &mut advisories),
        FeedKind::Osv => osv::read_text(source, name, limits, &mut advisories),
        FeedKind::Csaf => csaf::read(source, name, limits, &mut advisories),
        FeedKind::UpdateInfo => updateinfo::read(source, limits, &mut advisories),
        FeedKind::DebianTracker => debian::read_tracker(source, limits, &mut advisories),
        FeedKind::DebianList => debian::read_lists(source, limits, &mut advisories),
        FeedKind::DebianSources => debian::read_sources(source, limits, &mut advisories),
        FeedKind::DebianTable => debian::read_table(source, limits, &mut advisories),
        FeedKind::KevJson | FeedKind::KevCsv => kev::read(source, limits, &mut |outcome| {
            let _ = sink(outcome.map(FeedRecord::Exploited));
        }),
        FeedKind::EpssCsv => epss::read(source, limits, &mut |outcome| {
            let _ = sink(outcome.map(FeedRecord::Prediction));
        }),
        FeedKind::Nvd => nvd::read(source, limits, &mut |outcome| {
            sink(outcome.map(|note| FeedRecord::Note(Box::new(note))))
        }),
    }
}

fn advisory(advisory: Advisory) -> FeedRecord {
    FeedRecord::Advisory(Box::new(advisory))
}
