// The axis of a run's timeline: time to position, with the gaps folded in which nothing happened.

export type Span = { from: number; to: number };
export type Fold = Span & { at: number; width: number };
export type Axis = { at: (time: number) => number; folds: Fold[]; ticks: { time: number; at: number }[]; from: number; to: number };

/** A gap is folded when it is longer than this share of the time in which something happened, and than a minute. */
const FOLDED_SHARE = 0.25;
const SHORTEST_FOLD_MS = 60_000;
/** The part of the axis that a folded gap keeps. */
const FOLD_WIDTH = 0.03;

/** Joins spans that touch, in order. */
export function merged(spans: Span[]): Span[] {
  const sorted = spans.filter((span) => span.to >= span.from).sort((a, b) => a.from - b.from);
  const joined: Span[] = [];
  for (const span of sorted) {
    const last = joined.at(-1);
    if (last && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else joined.push({ ...span });
  }
  return joined;
}

/** An axis from 0 to 1 over everything in `busy`, at least from `from` to `to`. A label needs the share `room` of it. */
export function foldedAxis(busy: Span[], from: number, to: number, room = 0.08): Axis {
  const end = Math.max(to, from + 1000);
  const edges: Span[] = [
    { from, to: from },
    { from: end, to: end },
  ];
  const spans = merged([...busy.map((span) => ({ from: Math.max(from, span.from), to: Math.min(end, span.to) })), ...edges]);
  const active = spans.reduce((sum, span) => sum + (span.to - span.from), 0);
  const gaps = spans.slice(1).map((span, index) => ({ from: spans[index]!.to, to: span.from }));
  const isFolded = (gap: Span) => gap.to - gap.from > Math.max(SHORTEST_FOLD_MS, active * FOLDED_SHARE) && active > 0;
  const folded = gaps.filter(isFolded);
  const shown = end - from - folded.reduce((sum, gap) => sum + (gap.to - gap.from), 0);
  const scale = (1 - folded.length * FOLD_WIDTH) / Math.max(1, shown);

  const at = (time: number) => {
    const clamped = Math.min(end, Math.max(from, time));
    let position = (clamped - from) * scale;
    for (const gap of folded) {
      if (clamped <= gap.from) break;
      const inside = Math.min(clamped, gap.to) - gap.from;
      position += (inside / (gap.to - gap.from)) * FOLD_WIDTH - inside * scale;
    }
    return position;
  };
  const folds = folded.map((gap) => ({ ...gap, at: at(gap.from), width: FOLD_WIDTH }));
  const isHidden = (time: number) => folded.some((gap) => time > gap.from && time < gap.to);
  const ticks = ticksBetween(from, end, shown).filter((time) => !isHidden(time)).map((time) => ({ time, at: at(time) }));
  return { at, folds, ticks: spread(ticks, room), from, to: end };
}

const STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

function ticksBetween(from: number, to: number, shown: number): number[] {
  const step = (STEPS_S.find((seconds) => (shown / 1000 / seconds) <= 7) ?? 86_400) * 1000;
  const ticks = [];
  for (let time = Math.ceil(from / step) * step; time <= to && ticks.length < 400; time += step) ticks.push(time);
  return ticks;
}

/** Labels need room. */
function spread<T extends { at: number }>(ticks: T[], room: number): T[] {
  let last = -1;
  return ticks.filter((tick) => {
    if (tick.at - last < room) return false;
    last = tick.at;
    return true;
  });
}
