import { describe, expect, it } from 'vitest';
import { indexAt, instantOf, layersOf, usualSpeed } from '../../src/lib/trace';
import type { RunTrace } from '../../src/lib/types';

const figures = (down: number) => ({ pending: 0, working: down, succeeded: 0, failed: 0, left_out: 0, down, services_below: 0 });
const host = (id: string, services: string[] = ['web']) => ({ id, wave: 0, services });
const trace: RunTrace = {
  source: 'simulated',
  strategy: 'rolling',
  begins_at: '2026-11-30T20:00:00Z',
  seconds: 20,
  waves: [{ name: 'batch-1', kind: 'batch', hosts: 2 }],
  hosts: [host('a'), host('b')],
  services: [{ id: 'web', members: 2, min_up: 1, up: 2 }],
  edges: [{ source: 'a', target: 'b' }],
  events: [
    { at_seconds: 0, kind: 'wave_begins', text: 'begins', wave: 0, figures: figures(0) },
    { at_seconds: 5, kind: 'host', text: 'a', host: 'a', state: 'patching', services: [{ id: 'web', up: 1 }], figures: figures(1) },
    { at_seconds: 5, kind: 'host', text: 'b', host: 'b', state: 'patching', services: [{ id: 'web', up: 0 }], figures: figures(2) },
    { at_seconds: 20, kind: 'ends', text: 'ends', figures: figures(0) },
  ],
};

describe('a trace at an instant', () => {
  it('is after every event of that instant', () => {
    expect([-1, 0, 4.9, 5, 19, 20, 99].map((at) => indexAt(trace, at))).toEqual([-1, 0, 0, 2, 2, 3, 3]);
  });

  it('has the last state of each host and the figures of the event', () => {
    const before = instantOf(trace, -1);
    expect([before.states.get('a'), before.up.get('web'), before.figures.pending, before.wave]).toEqual(['pending', 2, 2, undefined]);
    const one = instantOf(trace, 1);
    expect([one.states.get('a'), one.states.get('b'), one.up.get('web'), one.figures.down, one.wave]).toEqual(['patching', 'pending', 1, 1, 0]);
    expect(instantOf(trace, 2).up.get('web')).toBe(0);
  });
});

describe('layers of hosts', () => {
  const names = (edges: [string, string][], ids = ['a', 'b', 'c']) =>
    layersOf(ids.map((id) => host(id)), edges.map(([source, target]) => ({ source, target }))).map((layer) => layer.map((one) => one.id));

  it('puts a host above those that it depends on', () => {
    expect(names([['a', 'b'], ['b', 'c']])).toEqual([['a'], ['b'], ['c']]);
    expect(names([])).toEqual([['a', 'b', 'c']]);
  });

  it('ends for a circle, and keeps every host', () => {
    expect(names([['a', 'b'], ['b', 'a'], ['c', 'a']]).flat().sort()).toEqual(['a', 'b', 'c']);
  });

  it('counts like a person', () => {
    expect(names([], ['web-10', 'web-9'])).toEqual([['web-9', 'web-10']]);
  });
});

it('plays a run of any length in about twenty seconds', () => {
  expect([15, 100, 3000, 80_000].map(usualSpeed)).toEqual([1, 5, 300, 3600]);
});
