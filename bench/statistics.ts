// Median and spread: the machines that run this are shared, so means would tell about the neighbours.

/** Of several rounds: the middle one and the extremes. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError for no values: a figure without a measurement must not look like one. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) throw new RangeError("no values to take a median of");
  const half = sorted.length / 2;
  const upper = sorted[Math.floor(half)] ?? min;
  const lower = sorted[Math.ceil(half) - 1] ?? min;
  return { median: (lower + upper) / 2, min, max };
}

/** Prints with as many digits as mean something: 3 significant ones. */
export function digits(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** `median (min to max)`. */
export function formatSpread(value: Spread): string {
  return `${digits(value.median)} (${digits(value.min)}–${digits(value.max)})`;
}
