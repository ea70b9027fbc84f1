// Which key does a request carry, and whom does it select? The carriers of the config are asked in their order; the first
// that yields a key decides, whether the table knows that key or not (DESIGN §3.4 steps 2 and 4).
//
// Guarantees: no allocation for baggage, tracestate and headers; a carrier is read exactly as its own specification says,
// never by searching in a whole header.
import { findBaggageMember } from "../protocol/context/baggage.ts";
import { findCookie } from "../protocol/context/cookie.ts";
import { Found } from "../protocol/context/found.ts";
import { type HostPattern, parseHostPattern } from "../protocol/context/host-pattern.ts";
import { findQueryParameter } from "../protocol/context/query.ts";
import type { RequestView, WatchList } from "../protocol/context/request-view.ts";
import { findTracestateMember } from "../protocol/context/tracestate.ts";
import type { Carrier } from "./carrier.ts";
import type { CompiledTable } from "./compiled-table.ts";
import { NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "./decide.ts";

const DOT = 0x2e;

/** The header that a carrier is read from; "" when it is no header. */
function headerOfCarrier({ kind, name }: Carrier): string {
  switch (kind) {
    case "header":
      return name;
    case "baggage":
    case "tracestate":
    case "cookie":
      return kind;
    case "host":
    case "query":
      return "";
  }
}

/** The headers that have to be watched for the carriers to be read. */
export function headersOfCarriers(carriers: readonly Carrier[]): string[] {
  return carriers.map(headerOfCarrier).filter((name) => name !== "");
}

interface CarrierAt {
  readonly carrier: Carrier;
  /** Of the watch list; -1: no header. */
  readonly number: number;
  readonly member: Uint8Array;
  readonly pattern: HostPattern | undefined;
}

/** Looks for keys on behalf of one listener. What it found is valid until it looks again. */
export class KeyFinder {
  /** The key as it is compared, with its properties in baggage; only after a find that saw one. */
  readonly key = new Found();
  /** The carrier that yielded the key; undefined: none did. */
  carrier: Carrier | undefined = undefined;
  /** The client asks to be forgotten: an empty parameter whose cookie it was given. */
  forget: Carrier | undefined = undefined;
  /** The host by which services are known: that of the request, without what a host carrier finds in it. */
  hostStart = 0;
  hostEnd = 0;
  readonly #carriers: readonly CarrierAt[];
  readonly #hostKey = new Found();
  readonly #patterns: readonly HostPattern[];
  readonly #ownHosts: boolean;

  /**
   * @param carriers with legal patterns: the config was checked.
   * @param ownHosts a host pattern counts only where the table knows the rest: others' hosts may look the same.
   */
  constructor(carriers: readonly Carrier[], watch: WatchList, ownHosts: boolean) {
    this.#ownHosts = ownHosts;
    this.#carriers = carriers.map((carrier) => ({
      carrier,
      number: headerOfCarrier(carrier) === "" ? -1 : watch.numberOf(headerOfCarrier(carrier)),
      member: new TextEncoder().encode(carrier.name),
      pattern: carrier.kind === "host" ? patternOf(carrier.name) : undefined,
    }));
    this.#patterns = this.#carriers.flatMap(({ pattern }) => pattern ?? []);
  }

  /** The target that the first yielding carrier's key selects, NO_KEY or UNKNOWN_KEY. */
  find(view: RequestView, table: CompiledTable): number {
    this.carrier = undefined;
    this.forget = undefined;
    this.hostStart = view.hostStart;
    this.hostEnd = view.hostEnd;
    if (this.#patterns.length > 0) this.#readHost(view, table);
    const carriers = this.#carriers;
    for (let c = 0; c < carriers.length; c++) {
      const at = carriers[c] as CarrierAt;
      if (!this.#read(at, view, table)) continue;
      const { key } = this;
      const carrier = this.carrier as Carrier | undefined;
      // An empty parameter ends the search: whoever wrote it wants no key.
      if (carrier === undefined) return NO_KEY;
      let target = table.findTarget(key.bytes, key.start, key.end);
      if (target === -1 && carrier.levels) target = this.#findLevel(table);
      return target === -1 ? UNKNOWN_KEY : target;
    }
    return NO_KEY;
  }

  /** Whether the carrier yields a key, or the wish to have none. */
  #read(at: CarrierAt, view: RequestView, table: CompiledTable): boolean {
    const { carrier } = at;
    switch (carrier.kind) {
      case "host":
        if (at.pattern === undefined || !this.#matchHost(at.pattern, view, table)) return false;
        this.key.set(this.#hostKey.bytes, this.#hostKey.start, this.#hostKey.end);
        this.carrier = carrier;
        return true;
      case "query":
        return this.#readQuery(at, view);
      default:
        return this.#readHeader(at, view);
    }
  }

  #readHeader({ carrier, number, member }: CarrierAt, view: RequestView): boolean {
    const { key } = this;
    for (let i = 0; i < view.count; i++) {
      if (view.numbers[i] !== number) continue;
      const bytes = view.sources[i] as Uint8Array;
      const start = view.starts[i] as number;
      const end = view.ends[i] as number;
      switch (carrier.kind) {
        case "baggage":
          // Several fields of baggage are one list, and in a list the last member of a name wins.
          if (findBaggageMember(bytes, start, end, member, key)) this.carrier = carrier;
          continue;
        case "tracestate":
          if (!findTracestateMember(bytes, start, end, member, key)) continue;
          break;
        case "cookie":
          if (!findCookie(bytes, start, end, member, key) || key.end === key.start) continue;
          break;
        default:
          if (end === start) continue;
          key.set(bytes, start, end);
      }
      this.carrier = carrier;
      return true;
    }
    return this.carrier !== undefined;
  }

  #readQuery({ carrier, member }: CarrierAt, view: RequestView): boolean {
    const { key } = this;
    if (!findQueryParameter(view.targetBytes, view.targetStart, view.targetEnd, member, key)) return false;
    if (key.end > key.start) {
      this.carrier = carrier;
      return true;
    }
    if (carrier.remember === "") return false;
    this.forget = carrier;
    return true;
  }

  /** Finds out by which host services know the request, whichever carrier the key comes from. */
  #readHost(view: RequestView, table: CompiledTable): void {
    for (const pattern of this.#patterns) {
      if (!this.#matchHost(pattern, view, table)) continue;
      this.hostStart = pattern.restStart;
      this.hostEnd = pattern.restEnd;
      return;
    }
  }

  /** A host that the table knows as it is carries no key, whatever it looks like. */
  #matchHost(pattern: HostPattern, { hostBytes, hostStart, hostEnd }: RequestView, table: CompiledTable): boolean {
    if (!pattern.match(hostBytes, hostStart, hostEnd, this.#hostKey)) return false;
    if (table.findService(hostBytes, hostStart, hostEnd) !== NO_SERVICE) return false;
    return !this.#ownHosts || table.findService(hostBytes, pattern.restStart, pattern.restEnd) !== NO_SERVICE;
  }

  /** `a.b.c`, then `a.b`, then `a`: the first that somebody has. The key becomes that. */
  #findLevel(table: CompiledTable): number {
    const { key } = this;
    for (let end = key.end - 1; end > key.start; end--) {
      if (key.bytes[end] !== DOT) continue;
      const target = table.findTarget(key.bytes, key.start, end);
      if (target === -1) continue;
      key.end = end;
      return target;
    }
    return -1;
  }
}

function patternOf(text: string): HostPattern | undefined {
  const pattern = parseHostPattern(text);
  return "problem" in pattern ? undefined : pattern;
}
