import { MisuseError } from "./command.ts";

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
/** Ten years: longer is a slip of the keyboard, or a wish to have no end. */
const SECONDS_MAX = 3652 * 86_400;

/** Seconds of `90s`, `30m`, `12h`, `7d`, `4w`; a `MisuseError` that says what to write. `flag`: `--expires`. */
export function parseDuration(text: string, flag: string, example: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhdw])$/u.exec(text) ?? [];
  const seconds = Number(count) * (unitSeconds[unit] ?? 0);
  if (seconds > 0 && seconds <= SECONDS_MAX) return seconds;
  const what =
    count === undefined
      ? "is no duration, write a number and s, m, h, d or w"
      : seconds === 0
        ? "is over at once, write more"
        : "is more than ten years, write less";
  throw new MisuseError(`error: ${flag} '${text}' ${what}, as in ${example}`);
}

/** How long something takes or took, in its largest unit that is not below 2: `45s`, `90m`, `3d`. */
export function shortDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [unit, size] = (
    [
      ["d", 86_400],
      ["h", 3600],
      ["m", 60],
    ] as const
  ).find(([, one]) => seconds >= 2 * one) ?? ["s", 1];
  return `${Math.floor(seconds / size)}${unit}`;
}
