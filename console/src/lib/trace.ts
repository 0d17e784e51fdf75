// A trace at one instant. The service delivers the events and every figure; here they are only looked up.
import type { RunHostState, RunTrace, TraceEdge, TraceFigures, TraceHost } from './types';

/** Index of the last event at or before a time; -1 before the first. */
export function indexAt(trace: RunTrace, seconds: number): number {
  let low = 0;
  let high = trace.events.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (trace.events[middle]!.at_seconds <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export type Instant = { states: Map<string, RunHostState>; up: Map<string, number>; figures: TraceFigures; wave: number | undefined };

/** What holds after the event with this index. */
export function instantOf(trace: RunTrace, index: number): Instant {
  const states = new Map<string, RunHostState>(trace.hosts.map((host) => [host.id, 'pending']));
  const up = new Map(trace.services.map((service) => [service.id, service.up]));
  let wave: number | undefined;
  for (const event of trace.events.slice(0, index + 1)) {
    if (event.host && event.state) states.set(event.host, event.state);
    for (const service of event.services ?? []) up.set(service.id, service.up);
    if (event.wave != null) wave = event.wave;
  }
  const start: TraceFigures = { pending: trace.hosts.length, working: 0, succeeded: 0, failed: 0, left_out: 0, down: 0, services_below: 0 };
  return { states, up, wave, figures: trace.events[index]?.figures ?? start };
}

/** Hosts in layers: a host is above those that it depends on. A circle of dependencies is cut where it is met first. */
export function layersOf(hosts: readonly TraceHost[], edges: readonly TraceEdge[]): TraceHost[][] {
  const targets = new Map<string, string[]>();
  for (const { source, target } of edges) targets.set(source, [...(targets.get(source) ?? []), target]);
  const depths = new Map<string, number>();
  const depth = (id: string, path: Set<string>): number => {
    const known = depths.get(id);
    if (known !== undefined) return known;
    if (path.has(id)) return 0;
    path.add(id);
    const below = (targets.get(id) ?? []).map((target) => depth(target, path) + 1);
    path.delete(id);
    const found = Math.max(0, ...below);
    depths.set(id, found);
    return found;
  };
  const layers: TraceHost[][] = [];
  for (const host of hosts) {
    const level = depth(host.id, new Set());
    (layers[level] ??= []).push(host);
  }
  const key = (host: TraceHost) => `${host.services[0] ?? '~'} ${host.id}`;
  return Array.from(layers, (layer) => (layer ?? []).sort((a, b) => key(a).localeCompare(key(b), undefined, { numeric: true })))
    .filter((layer) => layer.length > 0)
    .reverse();
}

/** Seconds of the run that pass in a second of playing, so that the whole takes about twenty seconds. */
export function usualSpeed(seconds: number): number {
  return SPEEDS.find((speed) => seconds / speed <= 20) ?? SPEEDS.at(-1)!;
}

export const SPEEDS = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
