import { describe, expect, test } from 'vitest';
import { daysOf, monthOf, monthText, type Entry } from '../../src/lib/calendar';
import { groupsOfCounts, groupsOfHosts } from '../../src/lib/fleet-map';
import { foldedAxis, merged } from '../../src/lib/lanes';
import { ordersOf } from '../../src/lib/orders';
import { budgetsOf, commandsOf, forecastSentence, groupsOf, percent } from '../../src/lib/plan';
import { bodyOf, changesOf, countOf, NEW, rulesOf, tagsOf } from '../../src/lib/policy-form';
import { applyEvent } from '../../src/lib/run-events';
import { toneOf } from '../../src/lib/states';
import { duration, relative } from '../../src/lib/time';
import type { CloudEvent, HostEntry, Plan, Run, RunHost } from '../../src/lib/types';

describe('times', () => {
  const now = Date.parse('2026-11-30T12:00:00Z');
  test.each([
    ['2026-11-30T11:59:57Z', 'now'],
    ['2026-11-30T11:59:20Z', '40 s ago'],
    ['2026-11-30T11:00:01Z', '59 min ago'],
    ['2026-11-29T11:59:00Z', '24 h ago'],
    ['2026-11-28T11:00:00Z', '2 d ago'],
    ['2026-11-30T14:30:00Z', 'in 2 h'],
  ])('%s is %s', (at, text) => expect(relative(at, now)).toBe(text));
  test.each([
    [0.4, '0 s'],
    [59.6, '1 min'],
    [95, '1 min 35 s'],
    [3599.7, '1 h'],
    [3900, '1 h 5 min'],
    [7199, '2 h'],
    [200_000, '2 d'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));
});

describe('axis of a run', () => {
  const minute = 60_000;
  test('spans that touch become one', () => {
    expect(merged([{ from: 5, to: 9 }, { from: 1, to: 3 }, { from: 3, to: 4 }])).toEqual([{ from: 1, to: 4 }, { from: 5, to: 9 }]);
  });
  test('is linear when nothing is idle', () => {
    const axis = foldedAxis([{ from: 0, to: 10 * minute }], 0, 10 * minute);
    expect(axis.folds).toEqual([]);
    expect(axis.at(0)).toBe(0);
    expect(axis.at(5 * minute)).toBeCloseTo(0.5);
    expect(axis.at(10 * minute)).toBeCloseTo(1);
  });
  test('a night between two waves is folded, and order and ends stay', () => {
    const axis = foldedAxis([{ from: 0, to: 10 * minute }, { from: 600 * minute, to: 610 * minute }], 0, 610 * minute);
    expect(axis.folds).toHaveLength(1);
    expect(axis.folds[0]).toMatchObject({ from: 10 * minute, to: 600 * minute });
    expect(axis.at(610 * minute)).toBeCloseTo(1);
    expect(axis.at(10 * minute)).toBeGreaterThan(0.45);
    const times = [0, 1, 9, 10, 50, 300, 600, 601, 610].map((one) => axis.at(one * minute));
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(axis.ticks.every((tick) => tick.time <= 10 * minute || tick.time >= 600 * minute)).toBe(true);
  });
  test('a run of one instant has an axis', () => {
    const axis = foldedAxis([], 1000, 1000);
    expect(axis.at(1000)).toBe(0);
    expect(Number.isFinite(axis.at(5000))).toBe(true);
  });
});

const counts = { cancelled: 0, failed: 0, pending: 0, skipped: 0, succeeded: 0, total: 0, working: 0 };
const run = (state: Run['state'], hosts: Partial<Run['hosts']>, more: Partial<Run> = {}): Run =>
  ({ id: 'r', state, dry_run: false, emergency: false, requested_by: 'olivia', trigger: 'manual', created_at: '2026-11-30T12:00:00Z', hosts: { ...counts, ...hosts }, ...more }) as Run;

describe('orders to a run', () => {
  const names = (one: Run) => ordersOf(one).map((order) => order.name);
  test('a run that works can be paused or cancelled', () => {
    expect(names(run('executing', { pending: 3, working: 1, total: 4 }))).toEqual(['pause', 'cancel']);
  });
  test('a paused run can be resumed', () => {
    expect(names(run('paused', { pending: 1, total: 1 }))).toEqual(['resume', 'cancel']);
  });
  test('an ended run can be retried and rolled back only if there is something to do', () => {
    expect(names(run('succeeded', { succeeded: 2, total: 2 }))).toEqual(['rollback']);
    expect(names(run('halted', { failed: 1, succeeded: 1, total: 3 }))).toEqual(['retry-failed', 'rollback']);
    expect(names(run('rolled_back', { succeeded: 2, total: 2 }))).toEqual([]);
    expect(names(run('succeeded', { succeeded: 2, total: 2 }, { trigger: 'rollback' }))).toEqual([]);
    expect(names(run('succeeded', { pending: 2, total: 2 }, { dry_run: true }))).toEqual([]);
  });
  test('the sentence says what becomes of the hosts', () => {
    const [, cancel] = ordersOf(run('executing', { pending: 1, working: 2, succeeded: 3, total: 6 }));
    expect(cancel?.sentence).toBe('The run ends. 1 host is not touched; 2 hosts at work are brought to a safe state. 3 patched hosts stay patched.');
  });
});

describe('plan', () => {
  const target = (to: string, mode: string) => ({ os: 'debian12', rollback_mode: mode, updates: [{ package: 'openssl', from: '1', to, cves: ['CVE-1'] }] });
  const plan = {
    targets: { a: target('2', 'snapshot'), b: target('2', 'snapshot'), c: target('3', 'none') },
    services: { api: { members: ['a', 'b', 'c'], min_up: 1, max_unavailable: null }, web: { members: ['a', 'b'], min_up: 0, max_unavailable: 1 } },
    workflow: { pre_update_commands: [['sh', '-c', 'rm -rf "/tmp/x y"']], drain: { command: ['drain', '--now'] } },
  } as unknown as Plan;
  test('hosts that are treated alike are one group', () => {
    expect(groupsOf(plan).map((group) => [group.hosts, group.isReturnable])).toEqual([[['a', 'b'], true], [['c'], false]]);
  });
  test('commands are shown as a shell would need them', () => {
    expect(commandsOf(plan)).toEqual([
      { when: 'until it is drained', text: 'drain --now' },
      { when: 'before the update', text: `sh -c 'rm -rf "/tmp/x y"'` },
    ]);
  });
  test('a budget is the smaller of what is left above the minimum and what may be down', () => {
    const hosts = [{ ci_id: 'a', state: 'patching' }, { ci_id: 'b', state: 'pending' }] as RunHost[];
    expect(budgetsOf(plan, hosts)).toEqual([
      { service: 'api', members: 3, down: 1, allowed: 2 },
      { service: 'web', members: 2, down: 1, allowed: 1 },
    ]);
  });
  test('the forecast is one sentence', () => {
    const forecast = { duration_p50_seconds: 600, duration_p95_seconds: 900, max_hosts_down: 1, halt_probability: 0.034, expected_failed_hosts: 0.21 };
    expect(forecastSentence(forecast as never)).toBe(
      'Done in about 10 min, within 15 min in 95 of 100 cases; at most 1 host down at once; 0.2 hosts fail on average; halts in 3.4 % of simulations.',
    );
  });
  test('small shares keep a digit', () => expect([percent(0), percent(0.004), percent(0.5), percent(1)]).toEqual(['0 %', '0.4 %', '50 %', '100 %']));
});

describe('events of a run', () => {
  const host = { ci_id: 'a', state: 'pending', attempts: 0, changed: [], rebooted: false, steps: [] } as unknown as RunHost;
  const event = (type: string, time: string, data: object) => ({ id: '1', source: '', specversion: '1.0', type, time, data }) as CloudEvent;
  const state = (time: string, data: object) => event('patch.host.state_changed.v1', time, data);
  const step = (time: string, data: object) => event('patch.host.step_changed.v1', time, data);
  test('a host begins, works through a step, and ends', () => {
    const events = [
      state('T1', { ci_id: 'a', state: 'precheck', attempts: 1 }),
      step('T2', { ci_id: 'a', step: 'update', state: 'running', tries: 1 }),
      step('T3', { ci_id: 'a', step: 'update', state: 'running', tries: 2 }),
      step('T4', { ci_id: 'a', step: 'update', state: 'failed', tries: 2, detail: 'no space' }),
      state('T5', { ci_id: 'a', state: 'failed', attempts: 1, error: 'no space' }),
    ];
    const [after] = events.reduce<readonly RunHost[]>(applyEvent, [host]);
    expect(after).toMatchObject({ state: 'failed', attempts: 1, error: 'no space', started_at: 'T1', ended_at: 'T5' });
    expect(after?.steps).toEqual([{ step: 'update', state: 'failed', tries: 2, detail: 'no space', started_at: 'T2', ended_at: 'T4' }]);
  });
  test('an event of another host, or of the run, changes nothing', () => {
    const hosts = [host];
    expect(applyEvent(hosts, state('T', { ci_id: 'b', state: 'failed' }))).toBe(hosts);
    expect(applyEvent(hosts, event('patch.run.state_changed.v1', 'T', { state: 'paused' }))).toBe(hosts);
  });
  test('a retried host is at work again', () => {
    const [again] = applyEvent([{ ...host, state: 'failed', started_at: 'T1', ended_at: 'T2' } as RunHost], state('T3', { ci_id: 'a', state: 'precheck', attempts: 2 }));
    expect(again).toMatchObject({ started_at: 'T1', ended_at: null, attempts: 2 });
  });
});

describe('map of the fleet', () => {
  const entry = (id: string, env: string, status: string) => ({ ci_id: id, env, os: 'debian12', compliance_status: status }) as HostEntry;
  test('what needs work is first, and large groups are first', () => {
    const groups = groupsOfHosts([entry('a', 'dev', 'compliant'), entry('b', 'prod', 'compliant'), entry('c', 'prod', 'unknown'), entry('d', 'prod', 'non_compliant')], 'env');
    expect(groups.map((group) => [group.name, group.cells.map((cell) => cell.host?.ci_id)])).toEqual([['prod', ['d', 'c', 'b']], ['dev', ['a']]]);
  });
  test('a million hosts are few cells, and one host of a million has one', () => {
    const [group] = groupsOfCounts({ prod: { compliant: 999_999, non_compliant: 1, unknown: 0, percent: 99.9 } });
    expect(group?.cells.length).toBeLessThan(1300);
    expect(group?.cells.filter((cell) => cell.status === 'non_compliant')).toHaveLength(1);
  });
});

describe('calendar', () => {
  const at = (day: number, hour: number) => new Date(2026, 10, day, hour).getTime();
  const entry = (from: number, to: number): Entry => ({ from, to, kind: 'run', title: 't', detail: '', href: undefined, tone: 'good' });
  test('has whole weeks from Monday', () => {
    const days = daysOf(new Date(2026, 10, 1), [], at(30, 12));
    expect(days).toHaveLength(42);
    expect(new Date(days[0]!.start).getDay()).toBe(1);
    expect(days.filter((day) => day.isInMonth)).toHaveLength(30);
    expect(days.find((day) => day.isToday)?.start).toBe(at(30, 0));
  });
  test('an entry is on each day that it touches, and one of an instant on its own', () => {
    const days = daysOf(new Date(2026, 10, 1), [entry(at(3, 22), at(5, 1)), entry(at(10, 0), at(10, 0))], at(30, 12));
    expect(days.filter((day) => day.entries.length > 0).map((day) => new Date(day.start).getDate())).toEqual([3, 4, 5, 10]);
  });
  test('a nonsensical month is this month', () => {
    expect(monthText(monthOf('2026-99', at(30, 12)))).toBe('2026-11');
    expect(monthText(monthOf('2027-01', at(30, 12)))).toBe('2027-01');
  });
});

describe('form of a policy', () => {
  test('tags and counts', () => {
    expect(tagsOf(' env=prod, tier = web,odd,')).toEqual({ env: 'prod', tier: 'web', odd: '' });
    expect([countOf('5'), countOf('20%'), countOf(' '), countOf('x')]).toEqual([5, '20%', undefined, 'x']);
  });
  test('only what was changed is sent', () => {
    const before = { ...NEW, name: 'One', tags: 'env=prod', schedule: '0 2 * * 0', maxUnavailable: '2' };
    expect(changesOf(before, before)).toEqual({});
    expect(changesOf(before, { ...before, name: 'Two', schedule: '', maxUnavailable: '' })).toEqual({ name: 'Two', schedule: null, max_unavailable: null });
    expect(bodyOf({ ...NEW, name: 'x' })).not.toHaveProperty('max_unavailable');
  });
  test('package lists have a glob and a reason on each line', () => {
    expect(rulesOf(' kernel*: waits for a driver: March \n\nzlib')).toEqual([
      { glob: 'kernel*', reason: 'waits for a driver: March' },
      { glob: 'zlib', reason: '' },
    ]);
    const before = { ...NEW, deny: 'zlib: ours', approveAfter: '7' };
    const changed = changesOf(before, { ...before, deny: '' });
    expect(Object.keys(changed)).toEqual(['baseline']);
    expect(changed.baseline).toMatchObject({ approve_after_days: 7, deny: [] });
  });
});

test('a state that this page does not know is unknown, not good', () => {
  expect(toneOf('run', 'invented')).toBe('unknown');
  expect(toneOf('compliance', 'unknown')).toBe('unknown');
});
