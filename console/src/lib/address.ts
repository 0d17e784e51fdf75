// Where the views are.

export const ROOT = '/console';

/** The address of a view, with its parameters. */
export function to(path: string, query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = new URLSearchParams(given).toString();
  return `${ROOT}${path}${text ? `?${text}` : ''}`;
}
