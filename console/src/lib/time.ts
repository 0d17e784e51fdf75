// Times and durations in words.

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `3 min ago`, `in 2 h`: the largest unit, rounded down. */
export function relative(at: string | number | Date, now: number): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return 'now';
  const text = coarse(size);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

function coarse(seconds: number): string {
  if (seconds < MINUTE) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  return `${Math.floor(seconds / DAY)} d`;
}

/** `1 h 05 min`, `42 s`: two units at most. */
export function duration(seconds: number): string {
  const whole = Math.round(Math.max(0, seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) {
    const rest = whole % MINUTE;
    return `${Math.floor(whole / MINUTE)} min${rest ? ` ${rest} s` : ''}`;
  }
  const minutes = Math.round(whole / MINUTE);
  if (whole < 2 * DAY) {
    const rest = minutes % 60;
    return `${Math.floor(minutes / 60)} h${rest ? ` ${rest} min` : ''}`;
  }
  return `${Math.floor(whole / DAY)} d`;
}

/** `2026-11-30 17:04:09 UTC · 18:04:09 GMT+1`: the same instant for everybody, and here. */
export function exact(at: string | number | Date): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const utc = date.toISOString().slice(0, 19).replace('T', ' ');
  const local = date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' });
  return `${utc} UTC · ${local}`;
}

/** `17:04`, or with the day if that is another one. */
export function clock(at: string | number | Date, now: number): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.toLocaleDateString(undefined, { day: 'numeric', month: 'short' })}, ${time}`;
}

export function dayText(at: string | number | Date): string {
  return new Date(at).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
}
