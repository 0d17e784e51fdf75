//! When hosts may be patched: maintenance windows minus freezes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::time::{FreezeCalendar, MaintenanceWindow, Overrun, Span, Verdict};
use domain::workflow::Reboot;
use serde::{Deserialize, Serialize};

/// How far ahead openings are searched.
const HORIZON: TimeDelta = TimeDelta::days(366);
/// Most openings that are considered; a run that needs more cannot be planned sensibly.
const MOST_OPENINGS: usize = 60;
/// Windows that open again before they close are merged into one opening; at most this many.
const MOST_LOOKED_AT: usize = 1_000;

/// Opening and closing.
type TimeSpan = (DateTime<Utc>, DateTime<Utc>);

/// Windows and freezes, from a start time on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The earliest start of the run. All openings are relative to it.
    pub begins: DateTime<Utc>,
    /// Absent: at any time without a freeze.
    #[serde(default)]
    pub window: Option<MaintenanceWindow>,
    /// Hosts are rebooted only within it. Absent: whenever they are patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot_window: Option<MaintenanceWindow>,
    #[serde(default)]
    pub freezes: FreezeCalendar,
}

/// Times in which new work may start and must end, in order and disjoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Openings {
    spans: Vec<Opening>,
    /// Time that must be left for new work to start.
    cutoff_ms: u64,
    /// For the hosts of a wave that has begun, if it may be finished after the window has closed: every time without a freeze.
    after_closing: Option<Vec<Opening>>,
    /// Times in which a reboot may begin and end; absent: any time.
    reboots: Option<Vec<Opening>>,
}

/// Milliseconds since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    pub opens_ms: u64,
    pub closes_ms: u64,
}

impl Schedule {
    /// The schedule of a run that is planned now: it starts when the window is open.
    pub fn planned_at(
        now: DateTime<Utc>,
        window: Option<MaintenanceWindow>,
        freezes: FreezeCalendar,
    ) -> Self {
        let begins = window.as_ref().map_or(Some(now), |window| window.next_start(now)).unwrap_or(now);
        Self { begins, window, reboot_window: None, freezes }
    }

    pub fn with_reboot_window(self, reboot_window: Option<MaintenanceWindow>) -> Self {
        Self { reboot_window, ..self }
    }

    /// How long the first window is open from the start on; absent without windows.
    pub fn first_window_seconds(&self) -> Option<f64> {
        self.window.as_ref()?;
        self.windows_of(self.window.as_ref())
            .first()
            .map(|(opens, closes)| (*closes - *opens).num_milliseconds() as f64 / 1000.0)
    }

    /// For hosts with these tags. The whole work on a host that `reboots` lies in the reboot window, too.
    pub fn openings(&self, tags: &BTreeMap<String, String>, reboots: bool) -> Openings {
        let cutoff = self.window.as_ref().map_or(TimeDelta::zero(), MaintenanceWindow::cutoff);
        let for_reboots = self.reboot_window.as_ref().map(|window| self.windows_of(Some(window)));
        let within = for_reboots.as_ref().filter(|_| reboots);
        let overlap = |windows: Vec<TimeSpan>| within.map_or(windows.clone(), |of| overlaps(&windows, of));
        let permitted = |windows: Vec<TimeSpan>| {
            let mut spans = Vec::new();
            for (opens, closes) in windows {
                self.permitted(opens, closes, tags, &mut spans);
                if spans.len() >= MOST_OPENINGS {
                    break;
                }
            }
            spans
        };
        let finishes_waves =
            self.window.as_ref().map(MaintenanceWindow::overrun) == Some(Overrun::FinishStarted);
        Openings {
            spans: permitted(overlap(self.windows_of(self.window.as_ref()))),
            cutoff_ms: cutoff.num_milliseconds().max(0) as u64,
            after_closing: finishes_waves.then(|| permitted(overlap(vec![(self.begins, self.horizon())]))),
            reboots: for_reboots
                .map(|windows| windows.into_iter().map(|window| self.opening(window)).collect()),
        }
    }

    fn horizon(&self) -> DateTime<Utc> {
        self.begins.checked_add_signed(HORIZON).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// When a window is open; without one, always. Those that touch or overlap are merged.
    fn windows_of(&self, window: Option<&MaintenanceWindow>) -> Vec<TimeSpan> {
        let end = self.horizon();
        let Some(window) = window else { return vec![(self.begins, end)] };
        let mut windows: Vec<TimeSpan> = Vec::new();
        let open_now = window.remaining_at(self.begins).map(|left| (self.begins, self.begins + left));
        let mut next = open_now.or_else(|| opening_after(window, self.begins));
        for _ in 0..MOST_LOOKED_AT {
            let Some((opens, closes)) = next.filter(|(opens, _)| *opens < end) else { break };
            match windows.last_mut() {
                Some(last) if last.1 >= opens => last.1 = last.1.max(closes),
                _ => windows.push((opens, closes)),
            }
            if windows.len() >= MOST_OPENINGS {
                break;
            }
            next = opening_after(window, opens);
        }
        windows
    }

    fn opening(&self, (opens, closes): TimeSpan) -> Opening {
        let since = |instant: DateTime<Utc>| (instant - self.begins).num_milliseconds().max(0) as u64;
        Opening { opens_ms: since(opens), closes_ms: since(closes) }
    }

    /// The parts of a window without a freeze.
    fn permitted(
        &self,
        opens: DateTime<Utc>,
        closes: DateTime<Utc>,
        tags: &BTreeMap<String, String>,
        spans: &mut Vec<Opening>,
    ) {
        let is_permitted =
            |starts, ends| self.freezes.verdict_over(Span { starts, ends }, tags) == Verdict::Permitted;
        let mut from = opens;
        while let Some(starts) = self.freezes.next_permitted(from, tags).filter(|starts| *starts < closes)
            && spans.len() < MOST_OPENINGS
        {
            // A permitted span is permitted in every part, so the end is found by bisection, to the second.
            let (mut low, mut high) = (0, (closes - starts).num_seconds());
            if !is_permitted(starts, closes) {
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if is_permitted(starts, starts + TimeDelta::seconds(middle)) {
                        low = middle
                    } else {
                        high = middle
                    }
                }
            }
            let ends = if is_permitted(starts, closes) { closes } else { starts + TimeDelta::seconds(low) };
            if ends > starts {
                spans.push(self.opening((starts, ends)));
            }
            from = ends + TimeDelta::seconds(1);
        }
    }
}

/// The times that are in both of two ordered lists.
fn overlaps(some: &[TimeSpan], others: &[TimeSpan]) -> Vec<TimeSpan> {
    let of = |one: &TimeSpan| {
        let (opens, closes) = *one;
        let first = others.partition_point(|(_, end)| *end <= opens);
        let meets = others[first..].iter().take_while(move |(start, _)| *start < closes);
        meets.map(move |(start, end)| (opens.max(*start), closes.min(*end))).collect::<Vec<_>>()
    };
    some.iter().flat_map(of).collect()
}

fn opening_after(window: &MaintenanceWindow, after: DateTime<Utc>) -> Option<TimeSpan> {
    window.next_open(after).map(|opens| (opens, opens + window.duration()))
}

impl Openings {
    pub fn always() -> Self {
        let spans = vec![Opening { opens_ms: 0, closes_ms: u64::MAX }];
        Self { spans, cutoff_ms: 0, after_closing: None, reboots: None }
    }

    pub fn spans(&self) -> &[Opening] {
        &self.spans
    }

    /// The first time, `from` or later, at which work of this duration may start and end in one opening. If its wave has begun
    /// and the window lets waves be finished, it does not wait for an opening, only for the end of a freeze.
    pub fn next_fit(&self, from_ms: u64, needed_ms: u64, wave_has_begun: bool) -> Option<u64> {
        let (spans, needed) = match &self.after_closing {
            Some(spans) if wave_has_begun => (spans, needed_ms),
            _ => (&self.spans, needed_ms.max(self.cutoff_ms)),
        };
        let first = spans.partition_point(|span| span.closes_ms <= from_ms);
        let begins = spans[first..].iter().map(|span| (span.opens_ms.max(from_ms), span.closes_ms));
        begins.into_iter().find(|(begins, closes)| begins.saturating_add(needed) <= *closes).map(|(b, _)| b)
    }

    /// The rule of the engine and of every forecast: how work of this duration that starts now may reboot its host.
    pub fn reboot_now(&self, wanted: Reboot, now_ms: u64, needed_ms: u64) -> Reboot {
        if self.may_reboot(now_ms, needed_ms) { wanted } else { Reboot::Never }
    }

    fn may_reboot(&self, now_ms: u64, needed_ms: u64) -> bool {
        self.reboots.as_ref().is_none_or(|spans| {
            let mut open = spans.iter().filter(|span| span.opens_ms <= now_ms);
            open.any(|span| now_ms.saturating_add(needed_ms) <= span.closes_ms)
        })
    }

    /// When the first opening closes.
    pub fn first_closing_ms(&self) -> Option<u64> {
        self.spans.first().map(|span| span.closes_ms)
    }
}

/// The openings of hosts by their tags. Only tags that a freeze names matter, so a fleet has few different ones.
pub struct OpeningsByTags<'s> {
    schedule: &'s Schedule,
    keys: BTreeSet<&'s str>,
    known: BTreeMap<(Vec<Option<String>>, bool), usize>,
    openings: Vec<Openings>,
}

impl<'s> OpeningsByTags<'s> {
    pub fn new(schedule: &'s Schedule) -> Self {
        let scopes = schedule.freezes.entries().iter().flat_map(|freeze| freeze.scope.keys());
        let keys = scopes.map(String::as_str).collect();
        Self { schedule, keys, known: BTreeMap::new(), openings: Vec::new() }
    }

    pub fn of(&mut self, tags: &BTreeMap<String, String>, reboots: bool) -> &Openings {
        let index = self.index_of(tags, reboots);
        &self.openings[index]
    }

    /// The number of their openings among all that were asked for.
    pub fn index_of(&mut self, tags: &BTreeMap<String, String>, reboots: bool) -> usize {
        let key: Vec<Option<String>> = self.keys.iter().map(|key| tags.get(*key).cloned()).collect();
        *self.known.entry((key, reboots)).or_insert_with(|| {
            let own = self.schedule.openings(tags, reboots);
            self.openings.iter().position(|known| *known == own).unwrap_or_else(|| {
                self.openings.push(own);
                self.openings.len() - 1
            })
        })
    }

    pub fn into_openings(self) -> Vec<Openings> {
        self.openings
    }
}

/// Which hosts may start now, by the first time that fits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission<T> {
    pub now: Vec<T>,
    /// No remaining opening is long enough for them.
    pub never: Vec<T>,
    /// When the first of the others may start.
    pub next_ms: Option<u64>,
}

/// The rule of the engine and of every forecast: a host starts only at a time that [`Openings::next_fit`] names.
pub fn admit<T>(fits: impl IntoIterator<Item = (T, Option<u64>)>, now_ms: u64) -> Admission<T> {
    let mut admission = Admission { now: Vec::new(), never: Vec::new(), next_ms: None };
    for (host, fit) in fits {
        match fit {
            Some(at) if at <= now_ms => admission.now.push(host),
            Some(at) => admission.next_ms = Some(admission.next_ms.map_or(at, |next| next.min(at))),
            None => admission.never.push(host),
        }
    }
    admission
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturdays 22:00 to 02:00 UTC, seen from a Friday.
    fn schedule(freezes: &str) -> Schedule {
        let window = serde_json::from_str(
            r#"{"opens": {"days": ["Sat"], "at": "22:00"}, "duration_minutes": 240, "time_zone": "UTC"}"#,
        );
        let freezes = serde_json::from_str(freezes).unwrap();
        Schedule::planned_at("2026-11-20T12:00:00Z".parse().unwrap(), Some(window.unwrap()), freezes)
    }

    fn hours(openings: &Openings, count: usize) -> Vec<(f64, f64)> {
        let hours = |ms: u64| ms as f64 / 3_600_000.0;
        let spans = openings.spans().iter().take(count);
        spans.map(|span| (hours(span.opens_ms), hours(span.closes_ms))).collect()
    }

    #[test]
    fn run_starts_with_its_window_and_continues_in_the_next() {
        let schedule = schedule("[]");
        assert_eq!(schedule.begins.to_rfc3339(), "2026-11-21T22:00:00+00:00");
        let openings = schedule.openings(&BTreeMap::new(), false);
        assert_eq!(hours(&openings, 2), [(0.0, 4.0), (168.0, 172.0)]);
        let hour = 3_600_000;
        let next_fit = |from, needed| openings.next_fit(from, needed, false);
        assert_eq!(next_fit(0, hour), Some(0));
        assert_eq!(next_fit(3 * hour, hour), Some(3 * hour));
        assert_eq!(next_fit(3 * hour + 1, hour), Some(168 * hour));
        assert_eq!(next_fit(0, 5 * hour), None);
        assert_eq!(openings.next_fit(3 * hour + 1, hour, true), Some(168 * hour), "it stops new hosts");
    }

    #[test]
    fn wave_that_has_begun_may_be_finished_after_the_closing_but_not_in_a_freeze() {
        let frozen = r#"[{"uid": "a", "name": "a", "starts": "2026-11-22T03:00:00Z", "ends": "2026-11-22T06:00:00Z"}]"#;
        let mut schedule = schedule(frozen);
        let mut fields = schedule.window.unwrap().fields().clone();
        fields.overrun = Overrun::FinishStarted;
        schedule.window = Some(fields.try_into().unwrap());
        let (openings, hour) = (schedule.openings(&BTreeMap::new(), false), 3_600_000);
        assert_eq!(openings.next_fit(7 * hour / 2, hour, false), Some(168 * hour));
        assert_eq!(openings.next_fit(7 * hour / 2, hour, true), Some(7 * hour / 2));
        assert_eq!(openings.next_fit(9 * hour / 2, hour, true), Some(8 * hour), "after the freeze");
    }

    #[test]
    fn freezes_cut_the_windows_of_their_hosts() {
        let schedule = schedule(
            r#"[{"uid": "a", "name": "close of books", "starts": "2026-11-21T23:00:00Z",
                 "ends": "2026-11-22T00:30:00Z", "scope": {"env": "prod"}}]"#,
        );
        let prod = schedule.openings(&BTreeMap::from([("env".to_owned(), "prod".to_owned())]), false);
        assert_eq!(hours(&prod, 3), [(0.0, 1.0), (2.5, 4.0), (168.0, 172.0)]);
        let test = schedule.openings(&BTreeMap::from([("env".to_owned(), "test".to_owned())]), false);
        assert_eq!(hours(&test, 1), [(0.0, 4.0)]);
    }

    #[test]
    fn reboots_have_a_window_of_their_own() {
        let reboot_window = serde_json::from_str(
            r#"{"opens": {"days": ["Sun"], "at": "00:00"}, "duration_minutes": 60, "time_zone": "UTC"}"#,
        );
        let schedule = schedule("[]").with_reboot_window(Some(reboot_window.unwrap()));
        let (stays, reboots) =
            (schedule.openings(&BTreeMap::new(), false), schedule.openings(&BTreeMap::new(), true));
        assert_eq!(hours(&stays, 2), [(0.0, 4.0), (168.0, 172.0)]);
        assert_eq!(hours(&reboots, 2), [(2.0, 3.0), (170.0, 171.0)]);
        let hour = 3_600_000;
        assert_eq!(reboots.next_fit(0, hour, false), Some(2 * hour));
        assert_eq!(reboots.next_fit(0, hour + 1, false), None, "no reboot window is long enough");
        let modes = [0, 4, 5, 6].map(|half| stays.reboot_now(Reboot::Always, half * hour / 2, hour / 2));
        assert_eq!(modes, [Reboot::Never, Reboot::Always, Reboot::Always, Reboot::Never]);
        assert_eq!(Openings::always().reboot_now(Reboot::IfRequired, 0, u64::MAX), Reboot::IfRequired);
    }
}
