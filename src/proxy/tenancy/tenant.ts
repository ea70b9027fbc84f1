// On whose behalf is this request? One `Tenant` for each listener and HTTP version finds the key wherever it travels, gives
// one to requests that have lost theirs or never had one, and says what of the head has to change before it goes on.
//
//   identify (carriers, edge) -> recover (a lost key, the stamp) -> the router's decision -> settle (what is written, stripped)
//
// What the config leaves off costs a comparison. State is that of the last request; all of it is used up within its turn.
import { coarse, wallNowMs } from "../../base/clock.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import { joined } from "../../protocol/bytes.ts";
import { Amendment } from "../../protocol/context/amendment.ts";
import { memberBytes } from "../../protocol/context/baggage-edit.ts";
import { SEMICOLON } from "../../protocol/context/octets.ts";
import { Found } from "../../protocol/context/found.ts";
import type { RequestView } from "../../protocol/context/request-view.ts";
import { contentEnd, contentStart } from "../../protocol/context/without-elements.ts";
import { type Carrier, carrierOf } from "../../routing/carrier.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import { NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "../../routing/decide.ts";
import { KeyFinder } from "../../routing/key-finder.ts";
import type { KeyFrom } from "../../telemetry/journal-draft.ts";
import { KeyWriter } from "./key-writer.ts";
import { RequestTraces } from "./request-traces.ts";
import { Stripper } from "./stripper.ts";
import { withSynonyms } from "./synonyms.ts";
import { DEBUG, type Tenancy, memberName } from "./tenancy.ts";
import { TraceRecall } from "./trace-recall.ts";

/** Between two log lines about baggage without room. */
const FULL_LOG_MS = 60_000;
const DOT = 0x2e;

/** Finds and keeps keys for the requests of one listener in one HTTP version. */
export class Tenant {
  /** The key of the request, as it is compared; valid when `keyFrom` is not "". */
  readonly key = new Found();
  keyFrom: KeyFrom = "";
  /** Why a signed key does not count; "" when it does, or there is none. */
  rejection = "";
  /** What has to change in the head. */
  readonly amendment = new Amendment();
  /** The value of a Set-Cookie field for the answer; "" for none. */
  setCookie = "";
  /** The host by which services are known. */
  hostStart = 0;
  hostEnd = 0;
  readonly traces: RequestTraces;
  /** Request targets may hold a secret: a token, whether it counts or not. */
  readonly hidesQuery: boolean;
  /** Whether a request without key can still get one. */
  readonly recovers: boolean;
  readonly #tenancy: Tenancy;
  /** Undefined: lost keys are nobody's business. */
  readonly #recall: TraceRecall | undefined;
  readonly #listener: string;
  #fullToldMs = Number.NEGATIVE_INFINITY;
  readonly #inbound: boolean;
  readonly #edge: boolean;
  readonly #stripsOnTheWayOut: boolean;
  readonly #finder: KeyFinder;
  readonly #edgeFinder: KeyFinder;
  readonly #writer: KeyWriter;
  readonly #egress: Stripper;
  /** By the carrier that vouches for the key and stays as it is; undefined: nothing stays. */
  readonly #edgeStrippers = new Map<Carrier | undefined, Stripper>();
  readonly #secure: string;
  readonly #memberName: string;
  readonly #member: Uint8Array;
  readonly #stamp: Uint8Array | undefined;
  /** The carrier of the key; undefined where there is none, or where it did not come by one. */
  #carrier: Carrier | undefined = undefined;
  #forget: Carrier | undefined = undefined;
  /** The key came through the edge from somebody who is not taken at their word. */
  #fromWorld = false;
  #signed = false;
  #expiresAtSeconds = 0;
  readonly #token = new Found();

  constructor(listener: ListenerConfig, tenancy: Tenancy) {
    const { config, watch, memory } = tenancy;
    const { carriers, edge, stamp } = config.tenancy;
    this.#tenancy = tenancy;
    this.#listener = listener.name;
    this.#inbound = listener.direction === "inbound";
    this.#edge = listener.direction === "inbound" && listener.edge;
    this.hidesQuery =
      this.#edge && tenancy.verifier !== undefined && edge.carriers.some(({ kind }) => kind === "query");
    this.#stripsOnTheWayOut = listener.direction === "outbound" && listener.egress === "strip";
    this.recovers = !this.#inbound && (stamp !== undefined || memory !== undefined);
    this.traces = new RequestTraces(watch);
    this.#recall = memory === undefined ? undefined : new TraceRecall(tenancy, memory, this.traces);
    this.#finder = new KeyFinder(carriers, watch, !this.#inbound);
    this.#edgeFinder = new KeyFinder(edge.carriers, watch, false);
    const member = memberName(carriers);
    this.#memberName = member;
    this.#member = new TextEncoder().encode(member);
    this.#writer = new KeyWriter(this.#member, watch);
    this.#stamp = stamp === undefined ? undefined : new TextEncoder().encode(stamp);
    this.#secure = listener.tls === undefined ? "" : "; Secure";
    // The query is part of what the other side is asked for, and the host is the other side.
    const leaving = carriers.filter(({ kind }) => kind !== "query" && kind !== "host");
    this.#egress = new Stripper(withSynonyms([...leaving, carrierOf("baggage", member)]), watch);
    if (!this.#edge) return;
    // Strangers are not told which sandboxes there are, here or by the sidecars behind.
    const all = withSynonyms([...carriers, ...edge.carriers, carrierOf("baggage", member), carrierOf("header", DEBUG)]);
    this.#edgeStrippers.set(undefined, new Stripper(all, watch));
    for (const trusted of edge.carriers) {
      const others = all.filter(({ kind, name }) => kind !== trusted.kind || name !== trusted.name);
      this.#edgeStrippers.set(trusted, new Stripper(others, watch));
    }
  }

  /**
   * The target that the request's key selects, NO_KEY or UNKNOWN_KEY.
   *
   * @param trusted whether the caller is one that the edge takes at its word; without meaning elsewhere.
   */
  identify(view: RequestView, table: CompiledTable, trusted: boolean): number {
    this.amendment.reset();
    this.keyFrom = "";
    this.rejection = "";
    this.setCookie = "";
    this.#signed = false;
    this.traces.forget();
    const fromWorld = this.#edge && !trusted;
    this.#fromWorld = fromWorld;
    const finder = fromWorld ? this.#edgeFinder : this.#finder;
    let target = finder.find(view, table);
    this.#take(finder);
    if (fromWorld && target !== NO_KEY) target = this.#verified(table, target);
    else if (this.#edge && trusted && target < 0 && finder.forget === undefined)
      target = this.#asWorld(view, table, target);
    return target;
  }

  /** A trusted caller may bring what the world may: a signed key, too, and where it may be plain that looks like one nobody has. */
  #asWorld(view: RequestView, table: CompiledTable, target: number): number {
    if (target === UNKNOWN_KEY && this.#tenancy.verifier === undefined) return target;
    const theirs = this.#edgeFinder.find(view, table);
    if (theirs === NO_KEY && target === UNKNOWN_KEY) return target;
    this.#take(this.#edgeFinder);
    if (theirs === NO_KEY) return NO_KEY;
    const verified = this.#verified(table, theirs);
    if (this.rejection === "" || target === NO_KEY || isToken(this.key)) return verified;
    this.rejection = "";
    this.setCookie = "";
    this.#take(this.#finder);
    return target;
  }

  /** The key by which the request was decided, for the access log. */
  get keyToShow(): Found | undefined {
    return this.keyFrom === "" || this.keyFrom === "lost" || this.rejection !== "" ? undefined : this.key;
  }

  #take(finder: KeyFinder): void {
    this.hostStart = finder.hostStart;
    this.hostEnd = finder.hostEnd;
    this.#carrier = finder.carrier;
    this.#forget = finder.forget;
    if (finder.carrier === undefined) return;
    this.keyFrom = "carrier";
    this.key.setAll(finder.key);
  }

  /** A key from the world: where the config names signers, it is a token, and its key is what one of them signed. */
  #verified(table: CompiledTable, target: number): number {
    const { verifier } = this.#tenancy;
    if (verifier === undefined) return target;
    const { key } = this;
    this.#token.set(key.bytes, key.start, key.end);
    const verified = verifier.verify(key.bytes, key.start, key.end, wallNowMs());
    if (!verified.ok) {
      this.rejection = verified.detail;
      // A browser would bring it with every request, for years perhaps, and only who knows the parameter could end that.
      if (this.#carrier?.kind === "cookie") this.setCookie = forgetting(this.#carrier.name);
      return NO_KEY;
    }
    this.#signed = true;
    this.#expiresAtSeconds = verified.expiresAtSeconds;
    const bytes = verified.keyBytes;
    const { propertiesBytes, propertiesStart, propertiesEnd } = key;
    key.set(bytes, 0, bytes.length);
    if (propertiesEnd > propertiesStart) key.setProperties(propertiesBytes, propertiesStart, propertiesEnd);
    return this.#targetOf(table);
  }

  #targetOf(table: CompiledTable): number {
    const target = table.findTarget(this.key.bytes, this.key.start, this.key.end);
    return target === -1 ? UNKNOWN_KEY : target;
  }

  /**
   * Outbound, without a key: that of the trace if the app has dropped it, or else the stamp.
   *
   * @param service the one that is called, by its id in the table.
   */
  recover(view: RequestView, table: CompiledTable, service: number): number {
    // An empty parameter says that none is wanted.
    if (this.#forget !== undefined) return NO_KEY;
    if (service !== NO_SERVICE && this.#recall !== undefined) {
      this.keyFrom = this.#recall.recall(view, table, service, this.key);
      if (this.keyFrom === "restored") return this.#targetOf(table);
    }
    if (this.#stamp === undefined || (service === NO_SERVICE && this.#stripsOnTheWayOut)) return NO_KEY;
    this.keyFrom = "stamp";
    this.key.set(this.#stamp, 0, this.#stamp.length);
    return this.#targetOf(table);
  }

  /**
   * After the decision: what of the head has to change.
   *
   * @param outside the request leaves what the table knows.
   * @param refused nothing of it goes on.
   */
  settle(view: RequestView, table: CompiledTable, outside: boolean, refused: boolean): void {
    if (refused) return;
    if (this.#inbound) this.#recall?.remember(view, this.keyFrom === "" ? undefined : this.key);
    const { amendment } = this;
    const strips = this.#fromWorld || this.#signed;
    if (strips) this.#stripAtTheEdge(view, table);
    if (outside && this.#stripsOnTheWayOut) {
      if (this.#egress.strip(view, amendment, table)) this.#tenancy.telemetry.keysStripped.egress++;
      return;
    }
    if (this.keyFrom === "stamp" || this.keyFrom === "restored") this.#write(view, this.keyFrom);
    else if (this.#carrier !== undefined && (this.#carrier.propagate || strips)) {
      // At the edge always: what is trusted there need not be read anywhere else.
      this.#write(view, this.#carrier.kind);
    }
    // The answer to an app is not for a browser.
    if (!this.#inbound) return;
    if (this.#carrier !== undefined && this.#carrier.remember !== "") this.setCookie = this.#cookie(this.#carrier);
    else if (this.#forget !== undefined) this.setCookie = forgetting(this.#forget.remember);
  }

  #stripAtTheEdge(view: RequestView, table: CompiledTable): void {
    const stays = this.#signed ? undefined : this.#carrier;
    const stripper = this.#edgeStrippers.get(stays) ?? this.#edgeStrippers.get(undefined);
    if (stripper?.strip(view, this.amendment, table) === true) this.#tenancy.telemetry.keysStripped.edge++;
  }

  #write(view: RequestView, source: Exclude<KeyFrom, "" | "carrier" | "lost"> | Carrier["kind"]): void {
    const { key } = this;
    // It stands there already, as it is to be written.
    if (source === "baggage" && !this.#signed && this.#carrier?.name === this.#memberName) return;
    // Some propagators encode the semicolon before properties, so it ends a key in either form: this one would become another.
    if (key.bytes.subarray(key.start, key.end).includes(SEMICOLON)) {
      this.#writer.remove(view, this.amendment);
      return;
    }
    const plain = memberBytes(this.#member, key.bytes, key.start, key.end);
    // White space behind them would end up at the end of the field, which HTTP/2 takes for malformed (RFC 9113 §8.2.1).
    const propertiesStart = contentStart(key.propertiesBytes, key.propertiesStart, key.propertiesEnd);
    const propertiesEnd = contentEnd(key.propertiesBytes, propertiesStart, key.propertiesEnd);
    const properties = key.propertiesBytes.subarray(propertiesStart, propertiesEnd);
    const member = properties.length === 0 ? plain : joined([plain, Uint8Array.of(SEMICOLON), properties]);
    const { keysWritten } = this.#tenancy.telemetry;
    if (this.#writer.write(view, this.amendment, member) === "written") keysWritten[source]++;
    else {
      keysWritten.full++;
      this.#tellFull();
    }
  }

  #tellFull(): void {
    if (coarse.nowMs - this.#fullToldMs < FULL_LOG_MS) return;
    this.#fullToldMs = coarse.nowMs;
    this.#tenancy.log.warn("a routing key was not written: baggage has no room left for it", {
      listener: this.#listener,
      advice:
        "services behind do not see the key; W3C Baggage promises to pass on 64 members and 8192 bytes, find out who fills them",
    });
  }

  /** The next click comes without the parameter: the client gets what it had in a cookie, a signed key as it was signed. */
  #cookie({ remember }: Carrier): string {
    const { bytes, start, end } = this.#signed ? this.#token : this.key;
    const pair = memberBytes(new TextEncoder().encode(remember), bytes, start, end);
    const ends = this.#signed ? `; Expires=${new Date(this.#expiresAtSeconds * 1000).toUTCString()}` : "";
    return `${new TextDecoder().decode(pair)}; Path=/; HttpOnly; SameSite=Lax${this.#secure}${ends}`;
  }
}

/** Whether a key looks like a token, which begins with the opening of a JSON object (RFC 7515 §7.1). */
function isToken({ bytes, start, end }: Found): boolean {
  let dots = 0;
  for (let i = start; i < end; i++) if (bytes[i] === DOT) dots++;
  return dots === 2 && bytes[start] === 0x65 && bytes[start + 1] === 0x79 && bytes[start + 2] === 0x4a;
}

/** Set-Cookie that takes a cookie back (RFC 6265 §3.1). */
function forgetting(name: string): string {
  return `${name}=; Path=/; Max-Age=0`;
}
