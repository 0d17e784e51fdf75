// Who uses the console. The secret is in a cookie that this code cannot read; only the answer of `/access/me` is here.
import { Refusal, answer, patch, watchAnswers } from './api';
import { connection } from './connection.svelte';
import type { Me, Problem, Role } from './types';

class CurrentSession {
  me = $state.raw<Me | undefined>();
  /** Whether the first question was answered. */
  isKnown = $state(false);
  /** Why the session ended while somebody worked. */
  ended = $state.raw<Problem | undefined>();

  /** As the services decide it; they refuse whatever this lets through by mistake. */
  may(role: Role): boolean {
    const held = this.me?.roles ?? [];
    if (role === 'viewer') return held.length > 0;
    if (role === 'operator' || role === 'auditor') return held.includes(role) || held.includes('admin');
    return held.includes(role);
  }

  async find() {
    try {
      this.me = await answer(patch.GET('/access/me'));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.me = undefined;
      this.ended = undefined;
    } finally {
      this.isKnown = true;
    }
  }

  /** Exchanges a token for a session. The token is in this call only. */
  async start(token: string) {
    const headers = { Authorization: `Bearer ${token.trim()}` };
    await answer(patch.POST('/access/session', { headers }));
    await this.find();
    this.ended = undefined;
    connection.refresh();
  }

  /** Ends the session. Who signed in at an identity provider is sent there, to sign out as well. */
  async end() {
    const page = this.me?.provider ? (await answer(patch.POST('/access/oidc/logout'))).provider_page : await this.endOwn();
    this.me = undefined;
    this.ended = undefined;
    if (page) location.assign(page);
  }

  private async endOwn() {
    await answer(patch.DELETE('/access/session'));
    return undefined;
  }

  /** Somebody may have signed in again in another tab. */
  async resume() {
    try {
      this.me = await answer(patch.GET('/access/me'));
      this.ended = undefined;
      connection.refresh();
    } catch (error) {
      // Not yet: the page stays, with what was typed.
      if (!(error instanceof Refusal)) throw error;
    }
  }

  /** The page stays as it is, with what was typed; a person signs in above it. */
  lost(problem: Problem) {
    if (this.me) this.ended = problem;
  }
}

export const session = new CurrentSession();

watchAnswers(
  (problem) => session.lost(problem),
  (reached) => connection.note(reached),
);
