const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** How a ttl is written. */
export const TTL_PATTERN = /^[1-9][0-9]{0,5}[smhdw]$/u;
/** Ten years: longer is a slip of the keyboard, or a wish to have no end. */
const TTL_MS_MAX = 3652 * 86_400_000;

/** Milliseconds of `90s`, `30m`, `4h`, `7d`, `2w`; undefined: it is none of these, or more than ten years. */
export function ttlMs(text: string): number | undefined {
  if (!TTL_PATTERN.test(text)) return undefined;
  const ms = Number(text.slice(0, -1)) * (unitMs[text.slice(-1)] ?? 0);
  return ms <= TTL_MS_MAX ? ms : undefined;
}
