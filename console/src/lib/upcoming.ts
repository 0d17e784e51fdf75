// When policies start next. Each preview is a request, so only some policies are asked.
import { answer, patch } from './api';
import type { Policy, PolicyPreview } from './types';

/** Policies whose next times are asked for. */
export const MOST_POLICIES = 20;

export type Slot = PolicyPreview['occurrences'][number];
export type Upcoming = { policy: Policy; hosts: number; slot: Slot };

export async function upcoming(signal: AbortSignal): Promise<{ slots: Upcoming[]; hasMore: boolean }> {
  const page = await answer(patch.GET('/patch/policies', { params: { query: { limit: MOST_POLICIES } }, signal }));
  const scheduled = page.items.filter((policy) => policy.schedule && policy.enabled !== false);
  const previews = await Promise.all(
    scheduled.map(async (policy) => {
      const preview = await answer(patch.GET('/patch/policies/{id}/preview', { params: { path: { id: policy.id } }, signal }));
      return preview.occurrences.map((slot): Upcoming => ({ policy, hosts: preview.targets.length, slot }));
    }),
  );
  const slots = previews.flat().sort((a, b) => Date.parse(a.slot.at) - Date.parse(b.slot.at));
  return { slots, hasMore: Boolean(page.next_page_token) };
}
