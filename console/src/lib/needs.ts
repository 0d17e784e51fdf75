// What needs a person now, from what the services say. The most urgent is first.
import { duration, relative } from './time';
import { words, type Tone } from './states';
import type { Change, Ci, Compliance, Exception, Incident, Proposal, Run, Timeliness } from './types';

export type Need = { id: string; tone: Tone; what: string; why: string; href: string; at?: string };

export type Known = {
  changes?: Change[];
  proposals?: Proposal[];
  runs?: Run[];
  halted?: Run[];
  compliance?: Compliance;
  timeliness?: Timeliness;
  exceptions?: Exception[];
  maintenance?: Ci[];
  incidents?: Incident[];
};

const DAY_MS = 86_400_000;
/** A run that halted longer ago is in the list of runs. */
const RECENT_MS = 3 * DAY_MS;
const EXPIRES_SOON_MS = 14 * DAY_MS;
/** A host in maintenance for longer than this was probably forgotten. */
const LONG_MAINTENANCE_MS = 4 * 3_600_000;

const URGENCY: Record<Tone, number> = { bad: 0, wait: 1, unknown: 2, work: 3, idle: 4, good: 5 };

export function whatNeedsAPerson(known: Known, nowMs: number): Need[] {
  const needs = [
    ...(known.halted ?? []).filter((run) => since(run.ended_at, nowMs) < RECENT_MS).map(halted),
    ...(known.runs ?? []).filter((run) => run.state === 'paused').map(paused),
    ...(known.changes ?? []).map(approval),
    ...(known.proposals ?? []).filter((one) => Date.parse(one.expires_at) > nowMs).map(proposal),
    ...(known.incidents ?? []).filter((one) => one.state === 'open').map(incident),
    ...breaches(known.timeliness),
    ...(known.compliance?.coverage ?? []).filter((one) => one.state !== 'covered' && one.hosts > 0).map(coverage),
    ...(known.exceptions ?? []).filter((one) => isSoon(one.expires_at, nowMs)).map((one) => exception(one, nowMs)),
    ...(known.maintenance ?? []).flatMap((ci) => maintenance(ci, nowMs)),
  ];
  return needs
    .map((need, index) => ({ need, index }))
    .sort((a, b) => URGENCY[a.need.tone] - URGENCY[b.need.tone] || a.index - b.index)
    .map(({ need }) => need);
}

function since(at: string | null | undefined, nowMs: number): number {
  return at ? nowMs - Date.parse(at) : Infinity;
}

function isSoon(at: string, nowMs: number): boolean {
  const left = Date.parse(at) - nowMs;
  return left > 0 && left < EXPIRES_SOON_MS;
}

/** What a run is for, in a few words. */
export function purpose(run: Run): string {
  if (run.advisory) return `remediation of ${run.advisory}`;
  return run.policy_id ? `policy ${run.policy_id}` : 'selected hosts';
}

function halted(run: Run): Need {
  const why = run.reason ?? 'its error threshold was reached';
  return { id: `run-${run.id}`, tone: 'bad', what: `Run halted: ${purpose(run)}`, why, href: `/runs/${run.id}`, at: run.ended_at ?? run.created_at };
}

function paused(run: Run): Need {
  const why = run.reason ?? `${run.hosts.pending} of ${run.hosts.total} hosts wait until somebody resumes it`;
  return { id: `run-${run.id}`, tone: 'wait', what: `Run paused: ${purpose(run)}`, why, href: `/runs/${run.id}`, at: run.started_at ?? run.created_at };
}

function approval(change: Change): Need {
  const hosts = `${change.ci_ids.length} ${change.ci_ids.length === 1 ? 'host' : 'hosts'}`;
  const why = `${change.short_description} · ${hosts} · requested by ${change.requested_by}`;
  const tone = change.kind === 'emergency' ? 'bad' : 'wait';
  return { id: `change-${change.id}`, tone, what: `${change.id} waits for approval`, why, href: `/changes/${change.id}`, at: change.created_at };
}

function proposal(one: Proposal): Need {
  const what = 'A second person must confirm';
  const why = `${proposalText(one)}, proposed by ${one.proposed_by}`;
  return { id: `proposal-${one.id}`, tone: 'wait', what, why, href: '/access', at: one.proposed_at };
}

function incident(one: Incident): Need {
  const tone = one.severity === 'critical' || one.severity === 'high' ? 'bad' : 'wait';
  return { id: `incident-${one.id}`, tone, what: `Incident open, ${one.severity}`, why: one.short_description, href: `/incidents/${one.id}`, at: one.created_at };
}

function breaches(report: Timeliness | undefined): Need[] {
  const hosts = report?.total.hosts_in_breach ?? 0;
  if (hosts === 0) return [];
  const what = `${hosts} ${hosts === 1 ? 'host is' : 'hosts are'} past the due date of a fix`;
  return [{ id: 'breaches', tone: 'bad', what, why: 'the service level allows no more time', href: '/hosts?sort=due&status=non_compliant' }];
}

function coverage(one: NonNullable<Compliance['coverage']>[number]): Need {
  const what = `${one.release}: ${words(one.state)}`;
  const why = one.reason ?? `nothing certain is known of its ${one.hosts} hosts`;
  return { id: `coverage-${one.release}-${one.channel ?? ''}`, tone: 'wait', what, why, href: '/feeds' };
}

function exception(one: Exception, nowMs: number): Need {
  const of = [one.advisory_id, one.package, one.ci_id ?? 'all hosts'].filter(Boolean).join(', ');
  const why = `${of} · owner ${one.owner}`;
  return { id: `exception-${one.id}`, tone: 'wait', what: `Exception expires ${relative(one.expires_at, nowMs)}`, why, href: '/exceptions', at: one.created_at };
}

function maintenance(ci: Ci, nowMs: number): Need[] {
  const kept = ci.maintenance;
  const lasted = since(kept?.since, nowMs);
  if (!kept || lasted < LONG_MAINTENANCE_MS) return [];
  const what = `${ci.id} is in maintenance for ${duration(lasted / 1000)}`;
  return [{ id: `maintenance-${ci.id}`, tone: 'wait', what, why: `${kept.reason} · ${kept.owner}`, href: `/hosts/${ci.id}`, at: kept.since }];
}

/** What a second person would agree to. */
export function proposalText({ proposed }: Proposal): string {
  return 'subject' in proposed ? `${words(proposed.action)} for ${proposed.subject}` : proposed.weakens.join('; ');
}
