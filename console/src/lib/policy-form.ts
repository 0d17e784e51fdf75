// The fields of a policy that the form has, as text, and back.
import type { Policy } from './types';

export type Fields = { id: string; name: string; tags: string; schedule: string; timeZone: string; strategy: string; maxParallel: string; maxUnavailable: string; pilots: string; soak: string; reboot: string; level: string; kinds: string; minimumSeverity: string; approveAfter: string; isExploitedAtOnce: boolean; allow: string; deny: string; isEnabled: boolean };

export const NEW: Fields = { id: '', name: '', tags: 'env=', schedule: '', timeZone: 'UTC', strategy: 'rolling', maxParallel: '1', maxUnavailable: '', pilots: '0', soak: '0', reboot: '', level: '', kinds: 'security, bugfix, enhancement', minimumSeverity: '', approveAfter: '0', isExploitedAtOnce: true, allow: '', deny: '', isEnabled: true };

export function fieldsOf(policy: Policy): Fields {
  return {
    id: policy.id,
    name: policy.name,
    tags: Object.entries(policy.target_ci_tags).map(([key, value]) => `${key}=${value}`).join(', '),
    schedule: policy.schedule ?? '',
    timeZone: policy.time_zone ?? 'UTC',
    strategy: policy.strategy ?? 'rolling',
    maxParallel: String(policy.max_parallel ?? ''),
    maxUnavailable: String(policy.max_unavailable ?? ''),
    pilots: String(policy.pilot_host_count ?? 0),
    soak: String(policy.soak_seconds ?? 0),
    reboot: policy.reboot ?? '',
    level: policy.patch_level ?? '',
    kinds: policy.baseline?.classifications?.join(', ') ?? NEW.kinds,
    minimumSeverity: policy.baseline?.minimum_severity ?? '',
    approveAfter: String(policy.baseline?.approve_after_days ?? 0),
    isExploitedAtOnce: policy.baseline?.known_exploited_at_once !== false,
    allow: textOf(policy.baseline?.allow),
    deny: textOf(policy.baseline?.deny),
    isEnabled: policy.enabled !== false,
  };
}

/** `env=prod, tier=web` as tags. What is not a pair is sent as it is, and the service says what is wrong with it. */
export function tagsOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim()).filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
  }));
}

type PackageRule = { glob: string; reason: string };

/** Packages that are allowed or denied, one `kernel*: reason` on each line. */
function textOf(rules: PackageRule[] | undefined): string {
  return (rules ?? []).map((rule) => `${rule.glob}: ${rule.reason}`).join('\n');
}

/** The same back. A line without a reason is sent as it is, and the service says that the reason is missing. */
export function rulesOf(text: string): PackageRule[] {
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => {
    const at = line.indexOf(':');
    return at < 0 ? { glob: line, reason: '' } : { glob: line.slice(0, at).trim(), reason: line.slice(at + 1).trim() };
  });
}

/** `5` as a number, `20%` as text; nothing as undefined. */
export function countOf(text: string): number | string | undefined {
  const trimmed = text.trim();
  if (!trimmed) return undefined;
  return /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}

/** What is sent. `null` removes a value that the policy had. */
export function bodyOf(fields: Fields): Record<string, unknown> {
  return {
    name: fields.name,
    target_ci_tags: tagsOf(fields.tags),
    schedule: fields.schedule.trim() || null,
    time_zone: fields.timeZone.trim(),
    strategy: fields.strategy,
    ...(fields.reboot && { reboot: fields.reboot }),
    max_parallel: countOf(fields.maxParallel) ?? 1,
    ...(fields.maxUnavailable.trim() && { max_unavailable: countOf(fields.maxUnavailable) }),
    pilot_host_count: countOf(fields.pilots) ?? 0,
    soak_seconds: countOf(fields.soak) ?? 0,
    patch_level: fields.level.trim() || null,
    baseline: {
      classifications: fields.kinds.split(',').map((kind) => kind.trim()).filter(Boolean),
      ...(fields.minimumSeverity && { minimum_severity: fields.minimumSeverity }),
      approve_after_days: countOf(fields.approveAfter) ?? 0,
      known_exploited_at_once: fields.isExploitedAtOnce,
      allow: rulesOf(fields.allow),
      deny: rulesOf(fields.deny),
    },
    enabled: fields.isEnabled,
  };
}

/** The fields whose value differs, so that what somebody else changed meanwhile stays. */
export function changesOf(before: Fields, after: Fields): Record<string, unknown> {
  const old = bodyOf(before);
  const changed = Object.entries(bodyOf(after)).filter(([key, value]) => JSON.stringify(old[key]) !== JSON.stringify(value));
  const removed = Object.keys(old).filter((key) => !(key in bodyOf(after))).map((key): [string, unknown] => [key, null]);
  return Object.fromEntries([...changed, ...removed]);
}
