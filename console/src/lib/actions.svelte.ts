// The registry of actions. Buttons, the navigation and the command palette are all made from it, so that whatever a page can do
// is also in the palette.
import { connection } from './connection.svelte';
import { PLACES } from './places';
import { router, to } from './router.svelte';
import { session } from './session.svelte';
import { theme } from './theme.svelte';
import type { Role } from './types';

export { PLACES } from './places';

export type Action = {
  id: string;
  title: string;
  group: 'Go to' | 'This page' | 'Console';
  /** Further words by which it is found. */
  words?: string;
  /** Nobody without this role sees it. */
  role?: Role;
  href?: string;
  isDangerous?: boolean;
  run: () => void;
};

class Registry {
  /** What the view that is open can do. */
  #ofView = $state.raw<Action[]>([]);
  isPaletteOpen = $state(false);

  get all(): Action[] {
    const places = PLACES.map(
      ({ path, title, words, role }): Action => ({
        id: `go${path || '/'}`,
        title,
        group: 'Go to',
        href: to(path),
        run: () => router.go(to(path)),
        ...(words && { words }),
        ...(role && { role }),
      }),
    );
    return [...this.#ofView, ...places, ...CONSOLE].filter((action) => !action.role || session.may(action.role));
  }

  ofView(actions: Action[]) {
    this.#ofView = actions;
  }

  find(id: string): Action | undefined {
    return this.all.find((action) => action.id === id);
  }
}

export const registry = new Registry();

const CONSOLE: Action[] = [
  { id: 'reload', title: 'Read everything again', group: 'Console', words: 'refresh update', run: () => connection.refresh() },
  { id: 'theme', title: 'Switch between light and dark', group: 'Console', words: 'theme colour scheme', run: () => theme.toggle() },
  { id: 'design', title: 'Show tokens and components', group: 'Console', words: 'design development style', run: () => router.go(to('/design')) },
  { id: 'sign-out', title: 'Sign out', group: 'Console', words: 'log out end session', run: () => void session.end() },
];

/** Registers what a view can do, while it is open. To be called while the view is made. */
export function useActions(actions: () => Omit<Action, 'group'>[]) {
  $effect(() => {
    registry.ofView(actions().map((action) => ({ ...action, group: 'This page' })));
    return () => registry.ofView([]);
  });
}
