// The days of a month, and what lies on them, in the viewer's zone.

export type Entry = { from: number; to: number; kind: 'freeze' | 'run' | 'window'; title: string; detail: string; href: string | undefined; tone: 'good' | 'bad' | 'wait' | 'work' | 'idle' | 'unknown' };
export type Day = { start: number; isInMonth: boolean; isToday: boolean; entries: Entry[] };

/** `2026-11` as the first instant of the month here; today's month for anything else. */
export function monthOf(text: string | undefined, nowMs: number): Date {
  const match = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text ?? '');
  const today = new Date(nowMs);
  return match ? new Date(Number(match[1]), Number(match[2]) - 1, 1) : new Date(today.getFullYear(), today.getMonth(), 1);
}

export function monthText(month: Date): string {
  return `${month.getFullYear()}-${String(month.getMonth() + 1).padStart(2, '0')}`;
}

/** Whole weeks from Monday that contain the month. Days are counted by the calendar, so a day of 23 hours is one day. */
export function daysOf(month: Date, entries: readonly Entry[], nowMs: number): Day[] {
  const offset = (month.getDay() + 6) % 7;
  const length = new Date(month.getFullYear(), month.getMonth() + 1, 0).getDate();
  const cells = Math.ceil((offset + length) / 7) * 7;
  const today = new Date(nowMs).toDateString();
  return Array.from({ length: cells }, (_, index) => {
    const start = new Date(month.getFullYear(), month.getMonth(), 1 - offset + index);
    const end = new Date(start.getFullYear(), start.getMonth(), start.getDate() + 1).getTime();
    const touches = (entry: Entry) => entry.from < end && Math.max(entry.to, entry.from + 1) > start.getTime();
    return {
      start: start.getTime(),
      isInMonth: start.getMonth() === month.getMonth(),
      isToday: start.toDateString() === today,
      entries: entries.filter(touches).sort((a, b) => a.from - b.from),
    };
  });
}
