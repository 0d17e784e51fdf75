import { expect, test } from 'vitest';
import { whatNeedsAPerson, type Known } from '../../src/lib/needs';

const now = Date.parse('2026-11-30T12:00:00Z');
const hosts = { cancelled: 0, failed: 1, pending: 3, skipped: 0, succeeded: 1, total: 5, working: 0 };
const what = (known: object) => whatNeedsAPerson(known as Known, now).map((need) => `${need.tone}: ${need.what}`);

test('nothing known is nothing to do', () => expect(whatNeedsAPerson({}, now)).toEqual([]));

test('a halted run is first, an approval after it', () => {
  const changes = [{ id: 'CHG1', kind: 'normal', ci_ids: ['a'], short_description: 's', requested_by: 'o', created_at: '2026-11-30T11:00:00Z' }];
  const halted = [{ id: 'r', policy_id: 'p', ended_at: '2026-11-30T10:00:00Z', created_at: '2026-11-30T09:00:00Z', hosts }];
  expect(what({ changes, halted })).toEqual(['bad: Run halted: policy p', 'wait: CHG1 waits for approval']);
});

test('a run that halted last week is not urgent any more', () => {
  const halted = [{ id: 'r', ended_at: '2026-11-20T10:00:00Z', created_at: '2026-11-20T09:00:00Z', hosts }];
  expect(what({ halted })).toEqual([]);
});

test('only runs that are paused, and exceptions that end soon', () => {
  const run = (state: string) => ({ id: state, state, created_at: '2026-11-30T09:00:00Z', hosts });
  const exception = (id: string, expires_at: string) => ({ id, owner: 'o', expires_at, created_at: '2026-11-01T00:00:00Z' });
  const exceptions = [exception('a', '2026-12-03T12:00:00Z'), exception('b', '2027-05-01T00:00:00Z'), exception('c', '2026-11-29T00:00:00Z')];
  expect(what({ runs: [run('executing'), run('paused')], exceptions })).toEqual(['wait: Run paused: selected hosts', 'wait: Exception expires in 3 d']);
});

test('hosts past due, releases without a feed, forgotten maintenance', () => {
  const compliance = { coverage: [{ release: 'sles15', state: 'not_covered', hosts: 2 }, { release: 'old', state: 'not_covered', hosts: 0 }, { release: 'rocky9', state: 'covered', hosts: 9 }] };
  const maintenance = [
    { id: 'a', maintenance: { since: '2026-11-30T11:00:00Z', reason: 'r', owner: 'o' } },
    { id: 'b', maintenance: { since: '2026-11-30T03:00:00Z', reason: 'r', owner: 'o' } },
  ];
  expect(what({ compliance, timeliness: { total: { hosts_in_breach: 1 } }, maintenance })).toEqual([
    'bad: 1 host is past the due date of a fix',
    'wait: sles15: no feed',
    'wait: b is in maintenance for 9 h',
  ]);
});
