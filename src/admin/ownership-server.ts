// The port for the app (`ownership.address`): consumers of messages ask whose a message is, in any language, by HTTP. What
// the rule is stands in src/routing/ownership.ts. Guarantees:
//
// - Every answer was decided by one table, and names it.
// - Answers and streams follow the same cell as everything else of the process; before the first table there are none.

import type { Log } from "../base/log.ts";
import type { Carrier } from "../routing/carrier.ts";
import { BASELINE } from "../routing/ownership.ts";
import type { TableCell } from "../routing/table-cell.ts";
import { startHttpServer } from "./http-server.ts";
import type { ServerTimeouts } from "./http-server.ts";
import { MessageKeys } from "./message-keys.ts";
import { ownershipRoutes } from "./ownership-routes.ts";
import { OwnershipStreams } from "./ownership-streams.ts";

/** Connections besides those of streams. */
const CONNECTIONS_MAX = 256;
/** A body may have as many bytes per message, on average, and at least `BODY_BYTES_MIN`. */
const MESSAGE_BYTES = 1024;
const BODY_BYTES_MIN = 1024 * 1024;

/** What the server needs of the config and the process. */
export interface OwnershipOptions {
  /** `ownership.address` */
  readonly address: string;
  /** The service that is meant when nobody names one. */
  readonly service: string;
  /** Undefined: this is an instance of the baseline. */
  readonly sandbox: string | undefined;
  readonly carriers: readonly Carrier[];
  readonly cell: TableCell;
  /** `limits.ownerStreamsMax` */
  readonly streamsMax: number;
  /** `limits.ownerBatchMax` */
  readonly batchMax: number;
  readonly log: Log;
  /** Tests: deadlines, and the time between signs of life on streams. */
  readonly timeouts?: ServerTimeouts;
  readonly beatMs?: number;
}

/** A running server. */
export interface OwnershipServer {
  /** `host:port` as bound. */
  readonly address: string;
  /** Tells the readers of streams to take no more messages and ends the streams; questions are answered until `close`. */
  drain(): void;
  /** Drains if that was not done, and closes. */
  close(): Promise<void>;
}

/** Listens; rejects with a `ServerAddressError`. */
export async function startOwnership(options: OwnershipOptions): Promise<OwnershipServer> {
  const { address, service, sandbox, carriers, cell, streamsMax, batchMax, log, timeouts, beatMs } = options;
  const instance = sandbox ?? BASELINE;
  const streams = new OwnershipStreams({ cell, instance, streamsMax, log, beatMs });
  const backend = { service, instance, cell, batchMax, streams, keys: new MessageKeys(carriers) };
  const server = await startHttpServer({
    address,
    setting: "ownership.address",
    name: "ownership",
    routes: ownershipRoutes,
    backend,
    log,
    connectionsMax: streamsMax + CONNECTIONS_MAX,
    bodyBytesMax: Math.max(BODY_BYTES_MIN, batchMax * MESSAGE_BYTES),
    timeouts,
  }).catch((error: unknown) => {
    streams.drain();
    throw error;
  });
  return {
    address: server.address,
    drain: () => streams.drain(),
    close() {
      streams.drain();
      return server.close();
    },
  };
}
