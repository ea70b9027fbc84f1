// What a developer's machine and a control replica say to each other (docs/connect.md, "On the wire"). Both ends use this.
//
// The machine opens a WebSocket to the API; in its binary messages goes HTTP/2 with reversed roles: the machine is the server,
// the replica the client. Each TCP connection that a sidecar makes is one CONNECT stream (RFC 9113 §8.5) whose `:authority` is
// the number of a target that the machine has declared. No address ever comes from the replica. Beside them one stream is the
// conversation: JSON lines in both directions.

export const CONNECT_PATH = "/v1/connect";
/** Of the WebSocket (RFC 6455 §1.9). A change that an older end would misunderstand gets another one. */
export const SUBPROTOCOL = "sidelane-connect.v1";
/** The request field with the session's secret; not in the query, which ends up in logs. */
export const SESSION_HEADER = "sidelane-session";
/** `:path` of the conversation, method POST. */
export const CONVERSATION_PATH = "/conversation";
/** Response field of a CONNECT that failed: what the machine was told when it connected, as a code (`ECONNREFUSED`). */
export const FAILURE_HEADER = "sidelane-failure";

/** Bytes of one stream that may be on the way or wait at the receiver: bounds memory, and speed to this per round trip. */
export const STREAM_WINDOW_BYTES = 256 * 1024;
/** The same for all streams together, without which they would share 64 KiB. Bounds nothing: it is given back on receipt. */
export const SESSION_WINDOW_BYTES = 8 * 1024 * 1024;
/** Of one WebSocket message. HTTP/2 frames come in pieces of 16 KiB at most; whoever sends more is not one of us. */
export const MESSAGE_BYTES_MAX = 256 * 1024;
/** Of one line of the conversation. */
const LINE_BYTES_MAX = 64 * 1024;
/** A session declares no more. */
export const TARGETS_MAX = 32;

/** A port of a service for which a machine answers. */
export interface Target {
  readonly service: string;
  /** "" where the service has one unnamed port. */
  readonly port: string;
}

/** `ledger:grpc`, or `checkout` where there is one unnamed port. */
export function targetText({ service, port }: Target): string {
  return port === "" ? service : `${service}:${port}`;
}

/** Reads what `targetText` writes. Names are not checked. */
export function parseTarget(text: string): Target {
  const at = text.indexOf(":");
  return at === -1 ? { service: text, port: "" } : { service: text.slice(0, at), port: text.slice(at + 1) };
}

/** Who answers for a service without its developer: its endpoints in the sandbox, the baseline, nobody; or there is no sandbox. */
export type Aftermath = "sandbox" | "baseline" | "nobody" | "sandbox-deleted";

/** From the replica. Unknown kinds are ignored: a later version may say more. */
export type FromReplica =
  /** First: the session stands. */
  | {
      readonly kind: "welcome";
      readonly sandbox: string;
      readonly key: string;
      /** Who the replica takes us for. */
      readonly as: string;
      readonly replica: string;
      /** As declared, in order; where sidecars send requests. */
      readonly endpoints: readonly string[];
      /** How long the entries outlive a lost connection. */
      readonly graceMs: number;
      /** Made for this session, and deleted after it. */
      readonly temporary: boolean;
      /** By target: what would come after it now. */
      readonly aftermaths: readonly Aftermath[];
    }
  /** The session is over, and does not come back by connecting again. */
  | { readonly kind: "ended"; readonly why: "taken-over" | "deleted" | "removed"; readonly detail: string }
  /** To a goodbye: sidecars are being told. `problem`: why not yet; "" otherwise. */
  | { readonly kind: "removed"; readonly aftermaths: readonly Aftermath[]; readonly problem: string }
  /** The replica ends: connect again, elsewhere where there is an elsewhere. */
  | { readonly kind: "reconnect" };

/** From the machine. */
export type FromMachine =
  /** Targets whose local app does not take connections, all of them; sent whenever that changes. */
  { readonly kind: "unreachable"; readonly targets: readonly number[] } | { readonly kind: "goodbye" };

/** One line of the conversation. */
export function line(message: FromReplica | FromMachine): string {
  return `${JSON.stringify(message)}\n`;
}

/** Puts the pieces of a conversation together. */
export class LineReader {
  #rest = "";
  readonly #onMessage: (message: Readonly<Record<string, unknown>>) => void;

  constructor(onMessage: (message: Readonly<Record<string, unknown>>) => void) {
    this.#onMessage = onMessage;
  }

  /** Takes a piece of text; false when this is no conversation of ours. */
  push(text: string): boolean {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LINE_BYTES_MAX) return false;
    for (const one of lines) {
      const message = parseLine(one);
      if (message === undefined) return false;
      this.#onMessage(message);
    }
    return true;
  }
}

function parseLine(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined: of a later version, or not well-formed. */
export function readFromReplica(message: Readonly<Record<string, unknown>>): FromReplica | undefined {
  const { kind } = message;
  if (kind === "reconnect") return { kind };
  if (kind === "removed") {
    return { kind, aftermaths: readAftermaths(message["aftermaths"]), problem: text(message["problem"]) };
  }
  if (kind === "ended") {
    const why = message["why"];
    const known = why === "taken-over" || why === "deleted" ? why : "removed";
    return { kind, why: known, detail: text(message["detail"]) };
  }
  if (kind !== "welcome") return undefined;
  const { endpoints, graceMs } = message;
  if (!Array.isArray(endpoints) || typeof graceMs !== "number") return undefined;
  return {
    kind,
    sandbox: text(message["sandbox"]),
    key: text(message["key"]),
    as: text(message["as"]),
    replica: text(message["replica"]),
    endpoints: endpoints.map(text),
    graceMs,
    temporary: message["temporary"] === true,
    aftermaths: readAftermaths(message["aftermaths"]),
  };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function readAftermaths(value: unknown): Aftermath[] {
  if (!Array.isArray(value)) return [];
  return value.map((one): Aftermath => {
    return one === "sandbox" || one === "baseline" || one === "sandbox-deleted" ? one : "nobody";
  });
}

/** Undefined: of a later version, or not well-formed. */
export function readFromMachine(message: Readonly<Record<string, unknown>>): FromMachine | undefined {
  const { kind, targets } = message;
  if (kind === "goodbye") return { kind };
  if (kind !== "unreachable" || !Array.isArray(targets)) return undefined;
  const known = targets.filter((one): one is number => Number.isInteger(one) && one >= 0 && one < TARGETS_MAX);
  return { kind, targets: known };
}
