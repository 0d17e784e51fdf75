// A rollout as lanes: what each customer went through, by wave.
import type { Tone } from './states';
import type { ReleaseTimeline, TimelineRow } from './types';

const TONES: Record<TimelineRow['what'], Tone> = {
  check_began: 'work',
  check_passed: 'good',
  waiting: 'wait',
  begun: 'work',
  deployed: 'good',
  failed: 'bad',
  unhealthy: 'bad',
  rolled_back: 'wait',
  left_out: 'idle',
  ended: 'idle',
};

/** Of an event whose kind this page may not know yet. */
export const toneOfEvent = (what: TimelineRow['what']): Tone => TONES[what] ?? 'unknown';

export type Lane = { name: string; events: TimelineRow[]; from: number | undefined; to: number | undefined; tone: Tone };
export type Group = { name: string; lanes: Lane[] };

const ENDS: readonly TimelineRow['what'][] = ['deployed', 'failed', 'rolled_back', 'left_out'];

/** A lane for the checks and waits of each wave that has some, and one for each customer. */
export function lanesOf(timeline: ReleaseTimeline): Group[] {
  const { rows } = timeline.timeline;
  const named = timeline.waves.map(([name, customers]) => ({ name, customers }));
  const known = new Set(named.map((wave) => wave.name));
  const others = rows.filter((row) => !row.customer && row.wave && !known.has(row.wave)).map((row) => row.wave);
  const waves = [...[...new Set(others)].map((name) => ({ name, customers: [] as string[] })), ...named];
  return waves
    .map(({ name, customers }) => {
      const own = rows.filter((row) => row.wave === name && !row.customer);
      const lanes = customers.map((customer) => laneOf(customer, rows.filter((row) => row.customer === customer)));
      return { name, lanes: own.length > 0 ? [laneOf('checks, waits', own), ...lanes] : lanes };
    })
    .filter((group) => group.lanes.length > 0);
}

function laneOf(name: string, events: TimelineRow[]): Lane {
  const begun = events.find((row) => row.what === 'begun');
  const ended = events.findLast((row) => ENDS.includes(row.what));
  const last = events.findLast((row) => row.what !== 'waiting') ?? events.at(-1);
  return { name, events, from: begun && Date.parse(begun.at), to: ended && Date.parse(ended.at), tone: last ? toneOfEvent(last.what) : 'idle' };
}
