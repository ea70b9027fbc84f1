/** How long to wait after failures in a row. */
export interface BackOff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Milliseconds before try number `failures` + 1: doubles each time, half of it at random so that many do not come at once. */
export function backOffMs({ firstMs, mostMs }: BackOff, failures: number, random: () => number = Math.random): number {
  const whole = Math.min(mostMs, firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.round(whole / 2 + (whole / 2) * random());
}

/** Resolves after `ms`, or at once when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
