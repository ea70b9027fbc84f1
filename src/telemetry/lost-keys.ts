// Which service loses the routing key on the way to whom. What callers may rely on: noting a loss makes no string and
// allocates nothing, but for the first of a peer and one in each period; peers are bounded by `peersMax`.
import { Buffer } from "node:buffer";
import type { Log } from "../base/log.ts";
import type { Sample } from "./exposition.ts";

/** What `tenancy.repair` says. */
export type RepairMode = "off" | "report" | "restore";

/** What became of a request without its key: only told, given its key back, or perhaps lost by somebody before. */
export const LOST_OUTCOMES = ["reported", "restored", "unsure"] as const;
/** One of `LOST_OUTCOMES`. */
export type LostOutcome = (typeof LOST_OUTCOMES)[number];

/** bytes[start, end), as it stood in a message. */
export interface ByteRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** One request whose key was lost. May be one object that the caller fills anew each time: nothing of it is kept. */
export interface LostKey {
  /** The service that dropped the key: the one beside this sidecar. */
  readonly service: string;
  /** The service that the request goes to. */
  readonly towards: string;
  readonly outcome: LostOutcome;
  readonly key: ByteRange;
  /** The trace id. */
  readonly trace: ByteRange;
  readonly method: ByteRange;
  /** Target or path; a query is not shown. */
  readonly path: ByteRange;
}

/** One peer in a report. */
export interface LostKeyEntry {
  readonly service: string;
  readonly towards: string;
  /** All requests whose key was lost, whatever became of them. */
  readonly count: number;
  readonly restored: number;
  readonly unsure: number;
  /** ISO 8601, UTC. */
  readonly firstAt: string;
  readonly lastAt: string;
  readonly example: LostExample;
}

/** One of the requests, as text; values are shortened. */
export interface LostExample {
  readonly trace: string;
  readonly key: string;
  readonly method: string;
  readonly path: string;
}

/** What `GET /lost-keys` answers. */
export interface LostKeysReport {
  readonly lost: readonly LostKeyEntry[];
  readonly repair: RepairMode;
  /** There were more peers than `limits.lostKeyPeersMax`; the rest is counted under `other`. */
  readonly truncated: boolean;
}

/** How a `LostKeys` is set up. */
export interface LostKeysOptions {
  readonly repair: RepairMode;
  /** `limits.lostKeyPeersMax`. */
  readonly peersMax: number;
  /** `timeouts.lostKeyLogMs`: milliseconds between two lines about one peer, 0: no lines. */
  readonly logMs: number;
}

/** Where peers beyond the limit are counted. */
const OTHER = "other";
/** Characters of one value of an example. */
const TEXT_MAX = 256;
const QUESTION_MARK = 0x3f;

/** The losses towards one service. */
class Peer {
  readonly service: string;
  readonly towards: string;
  readonly firstMs: number;
  readonly counts: Record<LostOutcome, number> = { reported: 0, restored: 0, unsure: 0 };
  readonly logged: Record<LostOutcome, number> = { reported: 0, restored: 0, unsure: 0 };
  lastMs: number;
  loggedMs = Number.NEGATIVE_INFINITY;
  example: LostExample;

  constructor(service: string, towards: string, example: LostExample, nowMs: number) {
    this.service = service;
    this.towards = towards;
    this.example = example;
    this.firstMs = nowMs;
    this.lastMs = nowMs;
  }
}

/** Counts lost keys by the service they were lost towards, and says so in the process log, once per peer and period. */
export class LostKeys {
  readonly #log: Log;
  readonly #options: LostKeysOptions;
  /** By the service that the requests went to. */
  readonly #peers = new Map<string, Peer>();
  #truncated = false;

  constructor(log: Log, options: LostKeysOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Counts one; `nowMs` is of a monotonic clock in milliseconds, the same for all calls. */
  note(lost: LostKey, nowMs: number): void {
    let peer = this.#peers.get(lost.towards);
    if (peer === undefined) peer = this.#add(lost, nowMs);
    peer.counts[lost.outcome]++;
    peer.lastMs = nowMs;
    const { logMs } = this.#options;
    if (logMs > 0 && nowMs - peer.loggedMs >= logMs) this.#tell(peer, lost, nowMs);
  }

  /** For `GET /lost-keys`: the worst peers first. `nowMs` as for `note`, `wallMs` the same moment since the epoch. */
  describe(nowMs: number = performance.now(), wallMs: number = Date.now()): LostKeysReport {
    const at = (ms: number): string => new Date(wallMs - (nowMs - ms)).toISOString();
    const lost = [...this.#peers.values()].map(({ service, towards, counts, firstMs, lastMs, example }) => ({
      service,
      towards,
      count: counts.reported + counts.restored + counts.unsure,
      restored: counts.restored,
      unsure: counts.unsure,
      firstAt: at(firstMs),
      lastAt: at(lastMs),
      example,
    }));
    return { lost: worstFirst(lost), repair: this.#options.repair, truncated: this.#truncated };
  }

  /** For the metric. */
  samples(): Sample[] {
    return [...this.#peers.values()].flatMap(({ service, towards, counts }) =>
      LOST_OUTCOMES.filter((outcome) => counts[outcome] > 0).map((outcome) => ({
        labels: { service, peer: towards, outcome },
        value: counts[outcome],
      })),
    );
  }

  #add(lost: LostKey, nowMs: number): Peer {
    let towards = lost.towards;
    if (this.#peers.size >= this.#options.peersMax) {
      this.#truncated = true;
      const other = this.#peers.get(OTHER);
      if (other !== undefined) return other;
      towards = OTHER;
    }
    const peer = new Peer(lost.service, towards, exampleOf(lost), nowMs);
    this.#peers.set(towards, peer);
    return peer;
  }

  #tell(peer: Peer, lost: LostKey, nowMs: number): void {
    peer.example = exampleOf(lost);
    peer.loggedMs = nowMs;
    const { counts, logged, service, towards } = peer;
    const since = {
      reported: counts.reported - logged.reported,
      restored: counts.restored - logged.restored,
      unsure: counts.unsure - logged.unsure,
    };
    const first = logged.reported + logged.restored + logged.unsure === 0;
    Object.assign(logged, counts);
    const count = since.reported + since.restored + since.unsure;
    const sure = since.reported + since.restored > 0;
    const often = first ? "" : `: ${times(count)} since the last line`;
    this.#log.warn(`${service} ${sure ? "loses" : "perhaps loses"} the routing key on the way to ${towards}${often}`, {
      peer: towards,
      count,
      restored: since.restored,
      unsure: since.unsure,
      ...peer.example,
      advice: advice(service, this.#options.repair, sure),
    });
  }
}

/** What several processes of one sidecar saw, as one. */
export function mergeLostKeys(reports: readonly LostKeysReport[]): LostKeysReport {
  const merged = new Map<string, LostKeyEntry>();
  for (const entry of reports.flatMap(({ lost }) => lost)) {
    const known = merged.get(entry.towards);
    merged.set(entry.towards, known === undefined ? entry : mergedEntry(known, entry));
  }
  return {
    lost: worstFirst([...merged.values()]),
    repair: reports[0]?.repair ?? "off",
    truncated: reports.some(({ truncated }) => truncated),
  };
}

function mergedEntry(one: LostKeyEntry, two: LostKeyEntry): LostKeyEntry {
  const later = one.lastAt < two.lastAt ? two : one;
  return {
    ...later,
    count: one.count + two.count,
    restored: one.restored + two.restored,
    unsure: one.unsure + two.unsure,
    firstAt: one.firstAt < two.firstAt ? one.firstAt : two.firstAt,
  };
}

function worstFirst(lost: readonly LostKeyEntry[]): LostKeyEntry[] {
  return lost.toSorted((one, two) => two.count - one.count || one.towards.localeCompare(two.towards));
}

function times(count: number): string {
  return count === 1 ? "1 request" : `${count} requests`;
}

function advice(service: string, repair: RepairMode, sure: boolean): string {
  // Whether it was lost here nobody knows, and `restore` leaves such traces alone.
  if (!sure) return `requests of this trace also came in without a key: look at who calls ${service} first`;
  const cause = `let ${service} send the baggage field of a request on with the requests it makes for it`;
  const how =
    "the W3C propagators of OpenTelemetry do (OTEL_PROPAGATORS=tracecontext,baggage); those for b3, jaeger or datadog alone do not";
  const meanwhile = repair === "restore" ? "" : "; until then `tenancy.repair: restore` puts it back";
  return `${cause}; ${how}${meanwhile}`;
}

function exampleOf({ trace, key, method, path }: LostKey): LostExample {
  return { trace: text(trace), key: text(key), method: text(method), path: withoutQuery(path) };
}

function text({ bytes, start, end }: ByteRange): string {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset + start, Math.min(end - start, TEXT_MAX)).toString("utf8");
  return end - start > TEXT_MAX ? `${all}…` : all;
}

/** A query may hold what nobody wants in a log. */
function withoutQuery({ bytes, start, end }: ByteRange): string {
  let stop = start;
  while (stop < end && bytes[stop] !== QUESTION_MARK) stop++;
  // Of absolute-form (RFC 9112 §3.2.2) the path alone: before the authority, too, may stand what nobody wants to see.
  return text({ bytes, start, end: stop }).replace(/^https?:\/\/[^/]*/iu, "");
}
