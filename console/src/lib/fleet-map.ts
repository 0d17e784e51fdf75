// The map of the fleet: one cell for each host, or for several when there are many, grouped by a dimension.
import type { Counts, HostEntry } from './types';

export type MapStatus = 'compliant' | 'non_compliant' | 'unknown';
export type Cell = { status: MapStatus; host?: HostEntry };
export type MapGroup = { name: string; counts: Counts; cells: Cell[]; hostsPerCell: number };

/** Above this, cells stand for several hosts and come from the counts alone. */
export const MOST_HOSTS = 1000;
const MOST_CELLS = 1200;

const ORDER: MapStatus[] = ['non_compliant', 'unknown', 'compliant'];

export function totalOf(counts: Counts): number {
  return counts.compliant + counts.non_compliant + counts.unknown;
}

/** Groups with a cell for each host. */
export function groupsOfHosts(hosts: readonly HostEntry[], by: 'env' | 'os'): MapGroup[] {
  const groups = new Map<string, HostEntry[]>();
  for (const host of hosts) {
    const list = groups.get(host[by]) ?? [];
    list.push(host);
    groups.set(host[by], list);
  }
  const made = [...groups].map(([name, members]): MapGroup => {
    const count = (status: MapStatus) => members.filter((host) => host.compliance_status === status).length;
    const counts = { compliant: count('compliant'), non_compliant: count('non_compliant'), unknown: count('unknown'), percent: 0 };
    counts.percent = (counts.compliant / members.length) * 100;
    const cells = members
      .map((host) => ({ status: host.compliance_status as MapStatus, host }))
      .sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || a.host.ci_id.localeCompare(b.host.ci_id));
    return { name, counts, cells, hostsPerCell: 1 };
  });
  return largestFirst(made);
}

/** Groups whose cells stand for several hosts. A status that exists has a cell, however few hosts have it. */
export function groupsOfCounts(counts: Record<string, Counts>): MapGroup[] {
  const total = Object.values(counts).reduce((sum, one) => sum + totalOf(one), 0);
  const hostsPerCell = Math.max(1, Math.ceil(total / MOST_CELLS));
  const made = Object.entries(counts).map(([name, one]): MapGroup => {
    const cells = ORDER.flatMap((status) => Array.from({ length: Math.ceil(one[status] / hostsPerCell) }, (): Cell => ({ status })));
    return { name, counts: one, cells, hostsPerCell };
  });
  return largestFirst(made.filter((group) => group.cells.length > 0));
}

function largestFirst(groups: MapGroup[]): MapGroup[] {
  return groups.sort((a, b) => totalOf(b.counts) - totalOf(a.counts) || a.name.localeCompare(b.name));
}
