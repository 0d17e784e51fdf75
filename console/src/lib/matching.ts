// What the command palette finds.
import type { Action } from './actions.svelte';

/** Actions whose words contain everything that was typed; those whose title begins with it are first. */
export function matching(actions: Action[], typed: string): Action[] {
  const parts = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (action: Action) => `${action.title} ${action.group} ${action.words ?? ''}`.toLowerCase();
  const found = actions.filter((action) => parts.every((part) => text(action).includes(part)));
  const begins = (action: Action) => (parts[0] && action.title.toLowerCase().startsWith(parts[0]) ? 0 : 1);
  return found.map((action, index) => ({ action, index })).sort((a, b) => begins(a.action) - begins(b.action) || a.index - b.index).map(({ action }) => action);
}
