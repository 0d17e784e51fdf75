// Where a found thing is shown, and what kind of thing it is in a word.
import { to } from './address';
import type { StateKind } from './states';
import type { SearchHit, SearchKind } from './types';

type Kind = { title: string; path: (id: string) => string; state?: StateKind };

const KINDS: Record<SearchKind, Kind> = {
  host: { title: 'Hosts', path: (id) => `/hosts/${encodeURIComponent(id)}`, state: 'compliance' },
  cve: { title: 'CVEs', path: (id) => `/cves/${encodeURIComponent(id)}`, state: 'severity' },
  package: { title: 'Packages', path: (id) => `/packages/${encodeURIComponent(id)}` },
  run: { title: 'Runs', path: (id) => `/runs/${encodeURIComponent(id)}`, state: 'run' },
  change: { title: 'Changes', path: (id) => `/changes/${encodeURIComponent(id)}`, state: 'change' },
  customer: { title: 'Customers', path: (id) => `/customers/${encodeURIComponent(id)}` },
};

export const titleOf = (kind: SearchKind): string => KINDS[kind].title;
export const stateKindOf = (kind: SearchKind): StateKind | undefined => KINDS[kind].state;
export const hrefOf = (kind: SearchKind, hit: SearchHit): string => to(KINDS[kind].path(hit.id));
