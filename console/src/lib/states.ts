// What a state means to a person: a tone, which has a colour and a shape, and a name.
import type { ChangeState, Incident, RunHostState, RunState, Severity, WatchState } from './types';

export type Tone = 'good' | 'bad' | 'wait' | 'work' | 'idle' | 'unknown';

type ComplianceStatus = 'compliant' | 'non_compliant' | 'unknown';
type StepState = 'running' | 'succeeded' | 'failed' | 'passed_over' | 'skipped';
type CoverageState = 'covered' | 'feed_too_old' | 'out_of_support' | 'not_covered';

// Each is complete: a state that a contract adds is a build error here.
const RUN: Record<RunState, Tone> = {
  scheduled: 'idle',
  planning: 'work',
  awaiting_approval: 'wait',
  awaiting_window: 'wait',
  validating: 'work',
  snapshotting: 'work',
  executing: 'work',
  verifying: 'work',
  reporting: 'work',
  alerting: 'work',
  paused: 'wait',
  succeeded: 'good',
  completed_with_errors: 'bad',
  failed: 'bad',
  halted: 'bad',
  cancelled: 'idle',
  expired: 'bad',
  voided: 'bad',
  rolled_back: 'wait',
};
const RUN_HOST: Record<RunHostState, Tone> = {
  pending: 'idle',
  precheck: 'work',
  snapshotting: 'work',
  draining: 'work',
  pre_step: 'work',
  patching: 'work',
  rebooting: 'work',
  post_step: 'work',
  verifying: 'work',
  succeeded: 'good',
  failed: 'bad',
  skipped: 'idle',
  timed_out: 'bad',
  unreachable: 'bad',
  rolled_back: 'wait',
  rollback_failed: 'bad',
  cancelled: 'idle',
};
const CHANGE: Record<ChangeState, Tone> = {
  draft: 'idle',
  pending_approval: 'wait',
  approved: 'good',
  in_progress: 'work',
  completed: 'good',
  failed: 'bad',
  rejected: 'bad',
  cancelled: 'idle',
};
const INCIDENT: Record<Incident['state'], Tone> = { open: 'bad', in_progress: 'work', resolved: 'good' };
const COMPLIANCE: Record<ComplianceStatus, Tone> = { compliant: 'good', non_compliant: 'bad', unknown: 'unknown' };
const STEP: Record<StepState, Tone> = {
  running: 'work',
  succeeded: 'good',
  failed: 'bad',
  passed_over: 'wait',
  skipped: 'idle',
};
const COVERAGE: Record<CoverageState, Tone> = {
  covered: 'good',
  feed_too_old: 'wait',
  out_of_support: 'wait',
  not_covered: 'bad',
};
const SEVERITY: Record<Severity, Tone> = { critical: 'bad', high: 'bad', medium: 'wait', low: 'idle', unknown: 'unknown', none: 'idle' };

const WATCH: Record<WatchState, Tone> = { unseen: 'unknown', well: 'good', doubtful: 'wait', unhealthy: 'bad', ended: 'idle' };

const TABLES = {
  run: RUN,
  run_host: RUN_HOST,
  change: CHANGE,
  incident: INCIDENT,
  compliance: COMPLIANCE,
  step: STEP,
  coverage: COVERAGE,
  severity: SEVERITY,
  watch: WATCH,
} as const;

export type StateKind = keyof typeof TABLES;

/** Unknown to this page: a newer service may have more states. */
export function toneOf(kind: StateKind, state: string): Tone {
  return (TABLES[kind] as Record<string, Tone>)[state] ?? 'unknown';
}

const WORDS: Record<string, string> = { non_compliant: 'lacks fixes', passed_over: 'passed over', not_covered: 'no feed', unseen: 'not checked yet', well: 'healthy', ended: 'watch ended' };

export function words(state: string): string {
  return WORDS[state] ?? state.replaceAll('_', ' ');
}

const OPEN: readonly RunState[] = [
  'scheduled',
  'planning',
  'awaiting_approval',
  'validating',
  'snapshotting',
  'executing',
  'verifying',
  'reporting',
  'alerting',
  'awaiting_window',
  'paused',
];

export function isOpen(state: RunState): boolean {
  return OPEN.includes(state);
}

const AT_WORK: readonly RunHostState[] = ['draining', 'pre_step', 'patching', 'rebooting', 'post_step', 'verifying'];

/** Whether a host may be missing from its services now. */
export function isDown(state: RunHostState): boolean {
  return AT_WORK.includes(state) || ['failed', 'timed_out', 'unreachable', 'rollback_failed'].includes(state);
}
