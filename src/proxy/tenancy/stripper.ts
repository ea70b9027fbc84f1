// Takes keys out of requests: at the edge those that nobody vouches for, on the way out all of them.
import { joined, latin1 } from "../../protocol/bytes.ts";
import type { Amendment } from "../../protocol/context/amendment.ts";
import { withoutMembers } from "../../protocol/context/baggage-edit.ts";
import { withoutCookies } from "../../protocol/context/cookie.ts";
import { Found } from "../../protocol/context/found.ts";
import { type HostPattern, parseHostPattern } from "../../protocol/context/host-pattern.ts";
import { withoutParameters } from "../../protocol/context/query.ts";
import type { RequestView, WatchList } from "../../protocol/context/request-view.ts";
import { withoutTracestateMembers } from "../../protocol/context/tracestate-edit.ts";
import type { Carrier } from "../../routing/carrier.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import { NO_SERVICE } from "../../routing/decide.ts";
import { JAEGER_BAGGAGE } from "./synonyms.ts";

type Without = (bytes: Uint8Array, start: number, end: number, names: readonly Uint8Array[]) => Uint8Array | undefined;

/** A header in which members are looked for, or which goes as a whole (`without` is undefined). */
interface HeaderStrip {
  readonly number: number;
  readonly names: readonly Uint8Array[];
  readonly without: Without | undefined;
}

const NO_BYTES = new Uint8Array(0);
const listsOf = { baggage: withoutMembers, tracestate: withoutTracestateMembers, cookie: withoutCookies } as const;

/** Removes what a set of carriers would read. */
export class Stripper {
  readonly #headers: readonly HeaderStrip[];
  readonly #parameters: readonly Uint8Array[];
  readonly #patterns: readonly HostPattern[];
  readonly #hostKey = new Found();

  /** @param carriers all of them are stripped; `query` and `host` change what the app is asked for. */
  constructor(carriers: readonly Carrier[], watch: WatchList) {
    const names = (kind: Carrier["kind"]): Uint8Array[] =>
      carriers.filter((carrier) => carrier.kind === kind).map(({ name }) => new TextEncoder().encode(name));
    const lists = (["baggage", "tracestate", "cookie"] as const)
      .map((kind) => ({ number: watch.numberOf(kind), names: names(kind), without: listsOf[kind] }))
      .concat({ number: watch.numberOf(JAEGER_BAGGAGE), names: names("baggage"), without: withoutMembers })
      .filter((list) => list.names.length > 0);
    const whole = carriers
      .filter(({ kind }) => kind === "header")
      .map(({ name }) => ({ number: watch.numberOf(name), names: [], without: undefined }));
    this.#headers = [...lists, ...whole];
    this.#parameters = names("query");
    this.#patterns = carriers.flatMap(({ kind, name }) => {
      const pattern = kind === "host" ? parseHostPattern(name) : undefined;
      return pattern === undefined || "problem" in pattern ? [] : [pattern];
    });
  }

  /** Notes in the amendment what has to go; false: nothing had to. */
  strip(view: RequestView, amendment: Amendment, table: CompiledTable): boolean {
    let any = false;
    for (const header of this.#headers) if (stripHeader(header, view, amendment)) any = true;
    if (this.#parameters.length > 0) {
      const target = withoutParameters(view.targetBytes, view.targetStart, view.targetEnd, this.#parameters);
      if (target !== undefined) {
        amendment.setTarget(target);
        any = true;
      }
    }
    return this.#stripHost(view, amendment, table) || any;
  }

  /** All of them: behind one prefix there may be another, which the next sidecar would read. */
  #stripHost(
    { hostBytes, hostStart, hostEnd, hostPort }: RequestView,
    amendment: Amendment,
    table: CompiledTable,
  ): boolean {
    let start = hostStart;
    let end = hostEnd;
    for (;;) {
      // What the table knows as it is carries no key (`KeyFinder`).
      if (this.#patterns.length === 0 || table.findService(hostBytes, start, end) !== NO_SERVICE) break;
      const pattern = this.#patterns.find((one) => one.match(hostBytes, start, end, this.#hostKey));
      if (pattern === undefined) break;
      start = pattern.restStart;
      end = pattern.restEnd;
    }
    if (start === hostStart && end === hostEnd) return false;
    const port = hostPort === -1 ? "" : `:${hostPort}`;
    amendment.setAuthority(joined([hostBytes.subarray(start, end), latin1(port)]));
    return true;
  }
}

function stripHeader({ number, names, without }: HeaderStrip, view: RequestView, amendment: Amendment): boolean {
  let any = false;
  for (let i = view.indexOf(number); i !== -1; i = view.indexOf(number, i + 1)) {
    const value = amendment.valueOf(view, i);
    const left = without === undefined ? NO_BYTES : without(value, 0, value.length, names);
    if (left === undefined) continue;
    amendment.replace(i, left);
    any = true;
  }
  return any;
}
