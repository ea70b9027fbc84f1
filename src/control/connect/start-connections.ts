import { ConnectHub } from "./hub.ts";
import type { ConnectOptions, SessionInfo } from "./options.ts";
import { startSweeper } from "./sweeper.ts";
import { connectUpgrade } from "./upgrade.ts";
import type { ConnectUpgrade } from "./upgrade.ts";

/** Developers' machines at this replica. */
export interface Connections {
  /** For `ApiBackend.connect`. */
  readonly upgrade: ConnectUpgrade;
  list(): readonly SessionInfo[];
  /** Tells machines to go elsewhere; resolves when they have, after `withinMs` at the latest. Their entries stay for where they go. */
  close(withinMs: number): Promise<void>;
}

/** Begins when the store is open and the replica has joined: earlier, everybody else would seem to be gone. */
export function startConnections(
  options: ConnectOptions & {
    /** Whether a replica lives, this one included. */
    readonly isAlive: (replica: string) => boolean;
    /** Between two looks for lost connections; default 1 s. */
    readonly sweepEveryMs?: number | undefined;
  },
): Connections {
  const { state, writer, replica, isAlive, graceMs, log, sweepEveryMs } = options;
  const hub = new ConnectHub(options);
  const isHere = (session: string): boolean => hub.has(session);
  const stop = startSweeper({ state, writer, replica, isAlive, isHere, graceMs, log, everyMs: sweepEveryMs });
  return {
    upgrade: connectUpgrade(hub, log, options.authoriseMs),
    list: () => hub.list(),
    close: async (withinMs) => {
      stop();
      await hub.close(withinMs);
    },
  };
}
