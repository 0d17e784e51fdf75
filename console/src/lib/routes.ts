// Which view shows an address. Each is loaded when it is opened first.
import type { Component } from 'svelte';
import { ROOT } from './address';

type Parameters = Record<string, string>;
type Module = { default: Component<Parameters> };
type Route = { pattern: RegExp; names: string[]; load: () => Promise<Module> };
export type View = { load: () => Promise<Module>; parameters: Parameters };

// The parameters of a view are those of its pattern.
const view = (module: () => Promise<unknown>) => module as () => Promise<Module>;

const ID = '([^/]+)';
const routes: [string, () => Promise<Module>][] = [
  ['', view(() => import('../views/Overview.svelte'))],
  ['/hosts', view(() => import('../views/Fleet.svelte'))],
  ['/hosts/:id', view(() => import('../views/Host.svelte'))],
  ['/runs', view(() => import('../views/Runs.svelte'))],
  ['/runs/:id', view(() => import('../views/Run.svelte'))],
  ['/changes', view(() => import('../views/Changes.svelte'))],
  ['/changes/:id', view(() => import('../views/Change.svelte'))],
  ['/incidents', view(() => import('../views/Incidents.svelte'))],
  ['/incidents/:id', view(() => import('../views/Incident.svelte'))],
  ['/cves', view(() => import('../views/Cves.svelte'))],
  ['/cves/:id', view(() => import('../views/Cve.svelte'))],
  ['/exceptions', view(() => import('../views/Exceptions.svelte'))],
  ['/feeds', view(() => import('../views/Feeds.svelte'))],
  ['/policies', view(() => import('../views/Policies.svelte'))],
  ['/policies/:id', view(() => import('../views/Policy.svelte'))],
  ['/policies/:id/strategies', view(() => import('../views/Strategies.svelte'))],
  ['/policies/:id/replay', view(() => import('../views/Replay.svelte'))],
  ['/runs/:run/replay', view(() => import('../views/Replay.svelte'))],
  ['/packages/:id', view(() => import('../views/Package.svelte'))],
  ['/releases', view(() => import('../views/Releases.svelte'))],
  ['/releases/:version', view(() => import('../views/Release.svelte'))],
  ['/customers/:id', view(() => import('../views/Customer.svelte'))],
  ['/runs/:run/strategies', view(() => import('../views/Strategies.svelte'))],
  ['/calendar', view(() => import('../views/Calendar.svelte'))],
  ['/predictions', view(() => import('../views/Predictions.svelte'))],
  ['/access', view(() => import('../views/Access.svelte'))],
  ['/audit', view(() => import('../views/Audit.svelte'))],
  ['/design', view(() => import('../views/Design.svelte'))],
];
const missing = view(() => import('../views/Missing.svelte'));

const table: Route[] = routes.map(([path, load]) => ({
  pattern: new RegExp(`^${path.replaceAll(/:\w+/g, ID)}/?$`),
  names: [...path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? ''),
  load,
}));

/** The paths of all views without parameters. */
export const PATHS: readonly string[] = routes.map(([path]) => path).filter((path) => !path.includes(':'));

export function viewOf(path: string): View {
  const inside = inConsole(path);
  for (const route of table) {
    const match = inside === undefined ? null : route.pattern.exec(inside);
    const values = match && decoded(match.slice(1));
    if (values) return { load: route.load, parameters: Object.fromEntries(route.names.map((name, index) => [name, values[index] ?? ''])) };
  }
  return { load: missing, parameters: {} };
}

function inConsole(path: string): string | undefined {
  if (path === '/') return '';
  // Links in messages that were sent before there was a console.
  if (path.startsWith('/dashboard/runs/')) return path.slice('/dashboard'.length);
  return path === ROOT || path.startsWith(`${ROOT}/`) ? path.slice(ROOT.length) : undefined;
}

function decoded(parts: string[]): string[] | undefined {
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
