//! What a play notes while it is recorded. A play of a forecast notes nothing.

use domain::run::HostState;

/// Something that happens in a play, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    WaveBegins {
        wave: usize,
    },
    /// One round of snapshots.
    Snapshots {
        hosts: usize,
    },
    Tests,
    Soaks {
        seconds: u32,
    },
    /// Until the next opening in which one of the hosts fits.
    Waits {
        until_ms: u64,
    },
    Verifies,
    Host {
        host: usize,
        state: HostState,
    },
}

/// A note with its time in milliseconds.
pub(super) type TimedNote = (u64, Note);

#[derive(Debug, Default)]
pub(super) struct Recorder(Option<Vec<TimedNote>>);

impl Recorder {
    pub fn start(&mut self) {
        self.0 = Some(Vec::new());
    }

    pub fn note(&mut self, at_ms: u64, note: Note) {
        if let Some(notes) = &mut self.0 {
            notes.push((at_ms, note));
        }
    }

    /// In the order of time. What was noted first is first at the same instant: hosts come up before the next ones go down.
    pub fn finish(self) -> Vec<TimedNote> {
        let mut notes = self.0.unwrap_or_default();
        notes.sort_by_key(|(at_ms, _)| *at_ms);
        notes
    }
}
