// The services, with the types of their contracts. An answer is its data, or an error that a view can show.
import createClient from 'openapi-fetch';
import type { paths as PatchPaths } from '../api/patch-manager';
import type { paths as CmdbPaths } from '../api/cmdb';
import type { paths as ItsmPaths } from '../api/itsm';
import type { Problem } from './types';

/** A request of another site's form cannot have this header; the service asks for it on every write of a session. */
const OWN = { 'X-Patch-Console': '1' };
const options = { baseUrl: '', headers: OWN, credentials: 'same-origin' as const };

export const patch = createClient<PatchPaths>(options);
export const cmdb = createClient<CmdbPaths>(options);
export const itsm = createClient<ItsmPaths>(options);

/** Why there is no answer, in the words of the service. */
export class Refusal extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail);
  }
}

/** The service was not reached, or did not answer. */
export class Unreachable extends Error {
  constructor() {
    super('The server cannot be reached.');
  }
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

let onSignedOut: (problem: Problem) => void = () => {};
let onReach: (reached: boolean) => void = () => {};

/** The session and the connection follow what every answer says of them. */
export function watchAnswers(signedOut: typeof onSignedOut, reach: typeof onReach) {
  onSignedOut = signedOut;
  onReach = reach;
}

/** The data of an answer. */
export async function answer<T>(call: Promise<Answer<T>>): Promise<T> {
  return (await whole(call)).data;
}

/** The data of an answer, with its headers. */
export async function whole<T>(call: Promise<Answer<T>>): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await reached(call);
  if (!response.ok) throw refusal(error, response);
  return { data: data as T, response };
}

/** An answer that is text. */
export async function text(path: string, signal?: AbortSignal): Promise<string> {
  const call = fetch(path, { headers: OWN, credentials: 'same-origin', signal: signal ?? null });
  const { response } = await reached(call.then((response) => ({ response })));
  const body = await response.text();
  if (!response.ok) throw refusal(parsed(body), response);
  return body;
}

async function reached<A extends { response: Response }>(call: Promise<A>): Promise<A> {
  try {
    const got = await call;
    onReach(true);
    return got;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    onReach(false);
    throw new Unreachable();
  }
}

function refusal(error: unknown, response: Response): Refusal {
  const problem = isProblem(error) ? error : plain(response);
  if (response.status === 401) onSignedOut(problem);
  return new Refusal(problem);
}

function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'detail' in error && 'title' in error;
}

function plain(response: Response): Problem {
  const detail = `the server answered ${response.status} without saying why`;
  return { type: 'about:blank', title: 'The request failed', status: response.status, detail };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** The same key and body start work once, however often they are sent. Also where the browser has no `randomUUID`. */
export function idempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
