// Takes out what nobody else will: entries of replicas that are gone, and of sessions that this one could not write out. Every
// replica does it; the plan sees to it that one of them succeeds and the others find nothing left to do.

import type { Log } from "../../base/log.ts";
import type { ControlState } from "../state.ts";
import type { Writer } from "../writer.ts";
import { disconnectPlan } from "./plan.ts";

export interface SweeperOptions {
  readonly state: ControlState;
  readonly writer: Pick<Writer, "write">;
  /** Id of this replica. */
  readonly replica: string;
  /** Whether a replica lives, this one included. */
  readonly isAlive: (replica: string) => boolean;
  /** Whether a session is connected here, or awaited. */
  readonly isHere: (session: string) => boolean;
  readonly graceMs: number;
  readonly log: Log;
  /** Between two looks; default 1 s. */
  readonly everyMs?: number | undefined;
}

/** A session's entries in one sandbox, at one replica. */
interface Held {
  readonly sandbox: string;
  readonly session: string;
  readonly replica: string;
}

/** Begins; returns what ends it. */
export function startSweeper(options: SweeperOptions): () => void {
  const { state, everyMs = 1000 } = options;
  /** Without anybody who answers for them, by what they are, since when. */
  const orphans = new Map<string, { readonly held: Held; readonly since: number }>();
  let seen = { revision: -1, all: [] as readonly Held[] };
  let running = false;

  const look = async (): Promise<void> => {
    // Who cannot read the store knows of nobody else, and nobody must be taken for gone because of that.
    if (state.storeProblem !== "") {
      orphans.clear();
      return;
    }
    if (seen.revision !== state.revision) seen = { revision: state.revision, all: allHeld(state) };
    const now = performance.now();
    const left = new Set(orphans.keys());
    for (const held of seen.all) {
      if (isAnswered(held, options)) continue;
      const key = `${held.sandbox} ${held.session} ${held.replica}`;
      left.delete(key);
      const orphan = orphans.get(key);
      if (orphan === undefined) orphans.set(key, { held, since: now });
      else if (now - orphan.since >= options.graceMs) await remove(held, options);
    }
    for (const key of left) orphans.delete(key);
  };
  const timer = setInterval(() => {
    if (running) return;
    running = true;
    look()
      .catch((error: unknown) => options.log.error("cannot look for lost connections", { error: String(error) }))
      .finally(() => {
        running = false;
      });
  }, everyMs);
  return () => clearInterval(timer);
}

function isAnswered({ session, replica }: Held, { replica: self, isAlive, isHere }: SweeperOptions): boolean {
  if (replica === self) return isHere(session);
  return replica === "" || isAlive(replica);
}

async function remove(held: Held, options: SweeperOptions): Promise<void> {
  const { state, writer, log } = options;
  // It may have come back while others were removed.
  if (state.storeProblem !== "" || isAnswered(held, options)) return;
  const result = await writer.write("sidelane", "disconnect", (now) => disconnectPlan(now, held, "did not come back"));
  if ("refused" in result) log.warn("cannot remove a lost connection", { sandbox: held.sandbox, why: result.message });
  else log.info("removed a lost connection", { sandbox: held.sandbox });
}

/** Each session's entries once. */
function allHeld(state: ControlState): Held[] {
  return state.list("sandbox").flatMap(({ name, spec }) => {
    const found = new Map<string, Held>();
    for (const { session, replica } of Object.values(spec.connected ?? {})) {
      found.set(`${session} ${replica}`, { sandbox: name, session, replica });
    }
    return [...found.values()];
  });
}
