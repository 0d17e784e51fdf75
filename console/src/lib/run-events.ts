// What an event of a run changes in the list of its hosts, so that a page need not read the list again.
import type { CloudEvent, LogLine, RunHost } from './types';

type Host = RunHost;
type Step = NonNullable<Host['steps']>[number];

/** States that a host does not leave by itself. */
const ENDED = ['succeeded', 'failed', 'skipped', 'timed_out', 'unreachable', 'rolled_back', 'rollback_failed', 'cancelled'];

/** The hosts after the event; the same list if it concerns none of them. */
export function applyEvent(hosts: readonly Host[], event: CloudEvent): readonly Host[] {
  const data = event.data as Record<string, unknown>;
  const index = hosts.findIndex((host) => host.ci_id === data.ci_id);
  const host = hosts[index];
  if (!host) return hosts;
  if (event.type === 'patch.host.state_changed.v1') return hosts.with(index, withState(host, data, event.time));
  if (event.type === 'patch.host.step_changed.v1') return hosts.with(index, withStep(host, data, event.time));
  return hosts;
}

function withState(host: Host, data: Record<string, unknown>, time: string): Host {
  const state = data.state as Host['state'];
  const hasBegun = state !== 'pending' && state !== 'skipped' && state !== 'cancelled';
  return {
    ...host,
    state,
    attempts: typeof data.attempts === 'number' ? data.attempts : host.attempts,
    error: (data.error as string | null | undefined) ?? null,
    started_at: host.started_at ?? (hasBegun ? time : null),
    ended_at: ENDED.includes(state) ? (host.ended_at ?? time) : null,
  };
}

function withStep(host: Host, data: Record<string, unknown>, time: string): Host {
  const steps = host.steps ?? [];
  const step = data.step as Step['step'];
  const state = data.state as Step['state'];
  const tries = typeof data.tries === 'number' ? data.tries : 1;
  const detail = (data.detail as string | null | undefined) ?? null;
  const running = steps.findLastIndex((one) => one.step === step && one.state === 'running');
  const known = steps[running];
  if (state === 'running') {
    if (known) return { ...host, steps: steps.with(running, { ...known, tries, detail }) };
    return { ...host, steps: [...steps, { step, state, tries, detail, started_at: time }] };
  }
  const ended: Step = { ...(known ?? { step, started_at: time }), state, tries, detail, ended_at: time };
  return { ...host, steps: known ? steps.with(running, ended) : [...steps, ended] };
}

/** A line of the log from its event. */
export function logLine(event: CloudEvent): LogLine {
  const data = event.data as { text?: string; ci_id?: string | null };
  return { at: event.time, sequence: Number(event.id), text: data.text ?? '', ci_id: data.ci_id ?? null } as LogLine;
}
