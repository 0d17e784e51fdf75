// Reads something for a view and keeps it up to date. What is shown stays until the new answer is there.
import { Refusal, Unreachable } from './api';
import { connection } from './connection.svelte';
import type { Problem } from './types';

export type Trouble = { kind: 'refused'; problem: Problem } | { kind: 'unreachable' };

export class Loaded<T> {
  data = $state.raw<T | undefined>();
  trouble = $state.raw<Trouble | undefined>();
  isLoading = $state(true);
  /** Asks again at once. */
  reload: () => void = () => {};
}

type Options = {
  /** Milliseconds between two reads; not while the page is hidden. */
  every?: number | (() => number | undefined);
};

/**
 * Calls `ask` now, whenever what it reads from the state changes, when the connection is back, and at an interval. To be called
 * while a component is made. `ask` returns undefined while there is nothing to ask for.
 */
export function load<T>(ask: (signal: AbortSignal) => Promise<T> | undefined, options: Options = {}): Loaded<T> {
  const loaded = new Loaded<T>();
  let again = $state(0);
  loaded.reload = () => (again += 1);

  $effect(() => {
    void again;
    void connection.generation;
    const aborted = new AbortController();
    const asked = ask(aborted.signal);
    if (!asked) return;
    loaded.isLoading = true;
    asked.then(
      (data) => {
        if (aborted.signal.aborted) return;
        loaded.data = data;
        loaded.trouble = undefined;
        loaded.isLoading = false;
      },
      (error) => {
        if (aborted.signal.aborted) return;
        loaded.trouble = troubleOf(error);
        loaded.isLoading = false;
      },
    );
    return () => aborted.abort();
  });

  $effect(() => {
    const every = typeof options.every === 'function' ? options.every() : options.every;
    if (!every) return;
    const timer = setInterval(() => {
      const isIdle = !loaded.isLoading && !document.hidden && !connection.isLost;
      if (isIdle && loaded.trouble?.kind !== 'refused') again += 1;
    }, every);
    return () => clearInterval(timer);
  });

  return loaded;
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Refusal) return { kind: 'refused', problem: error.problem };
  if (error instanceof Unreachable) return { kind: 'unreachable' };
  const detail = error instanceof Error ? error.message : String(error);
  return { kind: 'refused', problem: { type: 'about:blank', title: 'This page failed', status: 0, detail } };
}
