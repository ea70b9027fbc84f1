/**
 * The coarse monotonic clock: one number that a timer advances, so that setting a deadline on the request path costs a
 * field read instead of a system call. Accuracy: `TICK_MS`. Deadlines are swept once per tick, idle and head alike.
 */
export const TICK_MS = 100;

/** `coarse.nowMs` is milliseconds since the process started, at most one tick old (more when the loop is late). */
export const coarse = { nowMs: Math.floor(performance.now()) };

/** Milliseconds since the epoch: for what people and other systems have dated, never for measuring. */
export function wallNowMs(): number {
  return Date.now();
}

/** Whether a deadline of `limitMs` (0: none) that began at `sinceMs` has passed. */
export function past(sinceMs: number, limitMs: number, nowMs: number): boolean {
  return limitMs > 0 && nowMs - sinceMs >= limitMs;
}

/** Advances the clock and calls `sweep` once per tick until the returned function is called. */
export function startTicking(sweep: (nowMs: number) => void): () => void {
  // Nothing has ticked yet, or not for long: deadlines that begin before the first tick must not begin in the past.
  coarse.nowMs = Math.floor(performance.now());
  let pending: NodeJS.Immediate | undefined;
  const timer = setInterval(() => {
    coarse.nowMs = Math.floor(performance.now());
    // After a stall the timer comes first and what has arrived meanwhile second: let it be read before deadlines are judged.
    pending = setImmediate(() => sweep(coarse.nowMs));
  }, TICK_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    clearImmediate(pending);
  };
}

// One turn of the event loop: what it reads, then, by one immediate, its end. For durations the time is read once per turn
// instead of once per message. Everything that one turn reads had arrived when the turn began, so its beginning is as true
// as any later reading.
let turnMs = -1;
let ending = false;
const atTurnEnd: (() => void)[] = [];

function endTurn(): void {
  turnMs = -1;
  ending = false;
  for (let i = 0; i < atTurnEnd.length; i++) atTurnEnd[i]?.();
}

/** Milliseconds since the process started, exact to the present turn of the event loop. */
export function turnNowMs(): number {
  if (turnMs < 0) {
    turnMs = performance.now();
    wantTurnEnd();
  }
  return turnMs;
}

/** Registers, once and for good, what is to be done at the end of a turn for which somebody calls `wantTurnEnd`. */
export function onTurnEnd(callback: () => void): void {
  atTurnEnd.push(callback);
}

/** Has the callbacks of `onTurnEnd` called at the end of this turn. */
export function wantTurnEnd(): void {
  if (ending) return;
  ending = true;
  setImmediate(endTurn);
}
