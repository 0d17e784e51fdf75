import { expect, it } from 'vitest';
import { lanesOf } from '../../src/lib/release';
import type { ReleaseTimeline, TimelineRow } from '../../src/lib/types';

const row = (minute: number, what: TimelineRow['what'], wave: string, customer?: string): TimelineRow => ({ at: `2026-11-30T20:${String(minute).padStart(2, '0')}:00Z`, what, wave, text: what, customer: customer ?? null });

it('draws a lane for each customer, and one for what a wave checks', () => {
  const timeline: ReleaseTimeline = {
    version: 'v1.0.1',
    kind: 'bug_fix',
    state: 'succeeded',
    is_forecast: false,
    waves: [['demo', ['demo-1']], ['startup', ['acme', 'later']]],
    timeline: {
      began_at: '2026-11-30T20:00:00Z',
      ended_at: '2026-11-30T20:30:00Z',
      outcome: 'succeeded',
      rows: [
        row(0, 'check_began', 'validation'),
        row(1, 'check_passed', 'validation'),
        row(2, 'begun', 'demo', 'demo-1'),
        row(4, 'deployed', 'demo', 'demo-1'),
        row(5, 'waiting', 'startup'),
        row(9, 'begun', 'startup', 'acme'),
        row(12, 'deployed', 'startup', 'acme'),
        row(14, 'unhealthy', 'startup', 'acme'),
        row(15, 'rolled_back', 'startup', 'acme'),
        row(30, 'ended', ''),
      ],
    },
  } as ReleaseTimeline;
  const groups = lanesOf(timeline);
  expect(groups.map((group) => [group.name, group.lanes.map((lane) => lane.name)])).toEqual([
    ['validation', ['checks, waits']],
    ['demo', ['demo-1']],
    ['startup', ['checks, waits', 'acme', 'later']],
  ]);
  const acme = groups[2]!.lanes[1]!;
  expect([acme.tone, acme.from, acme.to]).toEqual(['wait', Date.parse('2026-11-30T20:09:00Z'), Date.parse('2026-11-30T20:15:00Z')]);
  const later = groups[2]!.lanes[2]!;
  expect([later.tone, later.events, later.from]).toEqual(['idle', [], undefined]);
});
