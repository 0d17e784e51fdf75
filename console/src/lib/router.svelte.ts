// The address is the state of a view: every list and selection can be shared by its link.
import { ROOT } from './address';

export { ROOT, to } from './address';

class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));
  /** Changes with every navigation of a person, not when a view writes its filters. */
  visit = $state(0);
  /** The visit whose heading had the focus. */
  focused = 0;

  constructor() {
    addEventListener('popstate', () => {
      this.#read();
      this.visit += 1;
    });
  }

  go(to: string) {
    history.pushState(null, '', to);
    this.#read();
    this.visit += 1;
    scrollTo(0, 0);
  }

  /** Replaces the address without a step in the history. */
  replace(to: string) {
    history.replaceState(null, '', to);
    this.#read();
  }

  /** Writes parameters of the address; an empty value removes one. */
  set(values: Record<string, string | undefined>) {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(values)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    this.replace(this.path + (text ? `?${text}` : ''));
  }

  get(name: string): string | undefined {
    return this.query.get(name) ?? undefined;
  }

  #read() {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }
}

export const router = new Router();

/** Follows links of the console without loading the page again. */
export function followLinks(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  // In a drawing, a link is another kind of element, without these as properties.
  const link = (event.target as Element | null)?.closest('a');
  const href = link?.getAttribute('href');
  if (!link || !href || link.hasAttribute('target') || link.hasAttribute('download')) return;
  const url = new URL(href, location.href);
  if (url.origin !== location.origin || url.hash) return;
  if (url.pathname !== ROOT && !url.pathname.startsWith(`${ROOT}/`)) return;
  event.preventDefault();
  router.go(url.pathname + url.search);
}
