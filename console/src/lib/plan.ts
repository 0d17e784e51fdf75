// A plan in the words of an approver: hosts that are treated alike are one group.
import type { Forecast, Plan, RunHost } from './types';
import { duration } from './time';
import { isDown } from './states';

export type Group = {
  hosts: string[];
  os: string;
  updates: { package: string; from: string; to: string; cves: string[] }[];
  rollback: string;
  isReturnable: boolean;
};

const ROLLBACK: Record<string, string> = {
  snapshot: 'returns to its snapshot',
  downgrade: 'gets its old packages again',
  none: 'cannot be rolled back',
};

export function groupsOf(plan: Plan): Group[] {
  const groups = new Map<string, Group>();
  for (const [host, target] of Object.entries(plan.targets)) {
    const updates = target.updates.map(({ package: name, from, to, cves }) => ({ package: name, from, to, cves: cves ?? [] }));
    const mode = target.rollback_mode;
    const key = JSON.stringify([target.os, updates, mode]);
    const group = groups.get(key);
    if (group) group.hosts.push(host);
    else groups.set(key, { hosts: [host], os: target.os, updates, rollback: ROLLBACK[mode] ?? mode, isReturnable: mode !== 'none' });
  }
  return [...groups.values()].sort((a, b) => b.hosts.length - a.hosts.length);
}

export type RootCommand = { when: string; text: string };

/** Everything that runs as root on every host, and hooks on the platform's machine. */
export function commandsOf(plan: Plan): RootCommand[] {
  const { workflow } = plan;
  const drain = workflow.drain && 'command' in workflow.drain ? [workflow.drain.command] : [];
  const all: [string, unknown[]][] = [
    ['before the downtime', workflow.pre_downtime_commands ?? []],
    ['until it is drained', drain],
    ['before the update', workflow.pre_update_commands ?? []],
    ['after the update', workflow.post_update_commands ?? []],
    ['maintenance begins, on the platform', workflow.maintenance_hooks?.on ?? []],
    ['maintenance ends, on the platform', workflow.maintenance_hooks?.off ?? []],
  ];
  return all.flatMap(([when, commands]) => commands.map((command) => ({ when, text: commandText(command) })));
}

function commandText(command: unknown): string {
  return Array.isArray(command) ? command.map((word) => quoted(String(word))).join(' ') : String(command);
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** What the simulator expects, in one sentence. */
export function forecastSentence(forecast: Forecast): string {
  const { duration_p50_seconds: p50, duration_p95_seconds: p95, max_hosts_down: down } = forecast;
  const halt = forecast.halt_probability;
  const chance = halt < 0.001 ? 'almost never halts' : `halts in ${percent(halt)} of simulations`;
  return `Done in about ${duration(p50)}, within ${duration(p95)} in 95 of 100 cases; at most ${down} ${down === 1 ? 'host' : 'hosts'} down at once; ${forecast.expected_failed_hosts.toFixed(1)} hosts fail on average; ${chance}.`;
}

export function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

export type Budget = { service: string; members: number; down: number; allowed: number };

/** How many members of each service are down now, and how many may be. */
export function budgetsOf(plan: Plan, hosts: readonly RunHost[]): Budget[] {
  const down = new Set(hosts.filter((host) => isDown(host.state)).map((host) => host.ci_id));
  return Object.entries(plan.services).map(([service, budget]) => {
    const room = Math.max(0, budget.members.length - budget.min_up);
    const allowed = Math.min(room, budget.max_unavailable ?? room);
    return { service, members: budget.members.length, down: budget.members.filter((id) => down.has(id)).length, allowed };
  });
}
