import { order } from "./order.ts";
import type { Route } from "./order.ts";

/** When an order was sent relative to a table edit. */
export type Phase = "before" | "during" | "after";

/** What a load has seen. */
export interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  /** What went wrong: status other than 200 or no answer, one line each. */
  readonly failures: readonly string[];
  /** Answers per phase and route. `before` was answered before the edit, `after` was sent when every sidecar had it. */
  readonly routes: readonly { readonly phase: Phase; readonly route: Route; readonly count: number }[];
}

/** Clients that order without a pause. */
export const LOAD_CLIENTS = 8;
/** Orders to be answered on either side of the edit. */
const ORDERS_PER_PHASE = 100;

/** Keeps `LOAD_CLIENTS` ordering, performs `edit` in the middle, and counts everything. */
export async function loadDuring(entrance: string, baggage: string, edit: () => Promise<void>): Promise<LoadReport> {
  let sent = 0;
  let answered = 0;
  let phase: Phase = "before";
  let stop = false;
  const failures: string[] = [];
  const counts = new Map<string, { phase: Phase; route: Route; count: number }>();
  let inPhase = 0;
  let phaseDone = Promise.withResolvers<void>();

  const client = async (): Promise<void> => {
    while (!stop) {
      const sentIn = phase;
      sent++;
      try {
        const result = await order(entrance, { baggage });
        answered++;
        if (result.status !== 200) failures.push(`${result.status} ${result.reason || result.detail}`);
        else count(sentIn === phase ? sentIn : "during", result.route);
      } catch (error) {
        failures.push(String(error));
      }
      // Failures count here too: a load in which everything fails must end as well.
      if (sentIn === phase && ++inPhase >= ORDERS_PER_PHASE) phaseDone.resolve();
    }
  };
  const count = (in_: Phase, route: Route): void => {
    const key = JSON.stringify([in_, route]);
    const entry = counts.get(key) ?? { phase: in_, route, count: 0 };
    entry.count++;
    counts.set(key, entry);
  };
  const enter = (next: Phase): void => {
    phase = next;
    inPhase = 0;
    phaseDone = Promise.withResolvers();
  };

  const clients = Array.from({ length: LOAD_CLIENTS }, client);
  try {
    await phaseDone.promise;
    enter("during");
    await edit();
    enter("after");
    await phaseDone.promise;
  } finally {
    stop = true;
  }
  await Promise.all(clients);
  return { sent, answered, failures, routes: [...counts.values()] };
}
