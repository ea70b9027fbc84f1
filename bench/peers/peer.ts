import type { BackendPorts, Folder } from "../backends.ts";
import type { Tool } from "../tools.ts";

/** What a proxy has to be configured for: both sides speak the same. `http2` is without TLS, by prior knowledge. */
export type Traffic = "http1" | "http2" | "websocket";

/** Where a proxy listens and where it forwards to. */
export interface PeerSetup {
  readonly workspace: Folder;
  /** The port to listen on, on 127.0.0.1. */
  readonly port: number;
  /** A second free port, for proxies that have an admin listener. */
  readonly adminPort: number;
  readonly backends: BackendPorts;
  readonly traffic: Traffic;
}

/** A proxy under test. All have the same duties: one thread, keep-alive on both sides, deadlines, no access log, one rule. */
export interface Peer {
  readonly name: string;
  readonly needs: readonly Tool[];
  /** Whether it can choose the backend by a baggage member; one that cannot sends everything to the sandbox. */
  readonly hasRule: boolean;
  /** What `--version` would say, with that of the runtime. */
  version(): string;
  /** Done once before anything is started: builds what has to be built. */
  prepare?(): Promise<void>;
  /** Writes the configuration into the workspace and returns the command that serves it in the foreground. */
  command(setup: PeerSetup): readonly string[];
}
