// On whose behalf a request is, in words: the same steps as the proxy's `Tenant`, by the same `KeyFinder`, but for what only a
// running sidecar knows (which trace came in with which key).

import { readFileSync } from "node:fs";
import { AddressSet } from "../config/address-set.ts";
import type { EdgeConfig, TenancyConfig } from "../config/proxy-config.ts";
import type { Found } from "../protocol/context/found.ts";
import { WatchList } from "../protocol/context/request-view.ts";
import type { RequestView } from "../protocol/context/request-view.ts";
import { readVerifyingKey } from "../protocol/signed-key/read-signing-key.ts";
import { verifyKey } from "../protocol/signed-key/verify-key.ts";
import type { Verified } from "../protocol/signed-key/verify-key.ts";
import { carrierText } from "../routing/carrier.ts";
import type { Carrier } from "../routing/carrier.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { UNKNOWN_KEY } from "../routing/decide.ts";
import { requiredServices } from "../routing/expectation.ts";
import type { Question } from "../routing/explain.ts";
import { headersOfCarriers, KeyFinder } from "../routing/key-finder.ts";
import { viewOf } from "./asked-view.ts";
import type { AskedRequest } from "./asked-view.ts";

/** The part of the question that the request itself answers. */
export type Identified = Pick<
  Question,
  "key" | "carrier" | "keyBecause" | "required" | "rejection" | "edge" | "knownHost"
>;

/** Where the request comes in, as far as keys matter. */
export interface Entrance {
  readonly tenancy: Pick<TenancyConfig, "carriers" | "edge">;
  readonly isOutbound: boolean;
  /** The listener is an edge. */
  readonly isEdge: boolean;
  /** Address of the caller, undefined when nobody said; counts at an edge only. */
  readonly caller: string | undefined;
}

/** As the proxy tells one from a plain key: the opening of a JSON object, in three parts (RFC 7515 §7.1). */
const TOKEN = /^eyJ[^.]*\.[^.]*\.[^.]*$/u;

/** Finds the key of a request. `table` knows which hosts are no patterns, and which levels of a key there are. */
export function identify(entrance: Entrance, table: CompiledTable, asked: AskedRequest): Identified {
  const { carriers, edge } = entrance.tenancy;
  const watch = new WatchList(headersOfCarriers([...carriers, ...edge.carriers]));
  const view = viewOf(asked, watch);
  const everywhere = new KeyFinder(carriers, watch, entrance.isOutbound);
  const target = everywhere.find(view, table);
  if (!entrance.isEdge) return found(everywhere, view, watch, carriers);

  const fromOutside = new KeyFinder(edge.carriers, watch, false);
  fromOutside.find(view, table);
  const trusted = isTrusted(edge, entrance.caller);
  const step = { edge: edgeStep(entrance, trusted) };
  if (trusted && (everywhere.carrier !== undefined || everywhere.forget !== undefined)) {
    const plain = { ...step, ...found(everywhere, view, watch, carriers) };
    if (target !== UNKNOWN_KEY || edge.signedBy.length === 0 || fromOutside.carrier === undefined) return plain;
    // Nobody has this key: it may be a signed one, and a token that does not count is no plain key either.
    const signed = verified(edge, found(fromOutside, view, watch, edge.carriers), trusted);
    return signed.rejection === undefined || TOKEN.test(textOf(fromOutside.key)) ? { ...step, ...signed } : plain;
  }
  if (fromOutside.carrier === undefined) {
    const read = found(fromOutside, view, watch, trusted ? [...carriers, ...edge.carriers] : edge.carriers);
    const ignored = everywhere.carrier;
    if (trusted || ignored === undefined) return { ...step, ...read };
    const keyBecause = `${textOf(everywhere.key)} in ${carrierText(ignored)} does not count here and is removed`;
    return { ...step, ...read, keyBecause };
  }
  return { ...step, ...verified(edge, found(fromOutside, view, watch, edge.carriers), trusted) };
}

function found(finder: KeyFinder, view: RequestView, watch: WatchList, carriers: readonly Carrier[]): Identified {
  const { carrier, forget, key } = finder;
  const { hostStart, hostEnd } = finder;
  const isWhole = hostStart === view.hostStart && hostEnd === view.hostEnd;
  const host = isWhole ? {} : { knownHost: Buffer.from(view.hostBytes.subarray(hostStart, hostEnd)).toString() };
  if (carrier === undefined) return { ...host, keyBecause: noKey(forget, carriers) };
  const text = textOf(key);
  const required = requiredServices(key);
  const notes = [
    `from ${carrierText(carrier)}`,
    ...levels(carrier, text, view, watch),
    ...(carrier.propagate ? ["goes on in baggage"] : []),
    ...(carrier.remember === "" ? [] : [`the answer sets cookie ${carrier.remember}`]),
  ];
  return {
    ...host,
    key: text,
    carrier: carrierText(carrier),
    keyBecause: notes.join("; "),
    ...(required === undefined ? {} : { required }),
  };
}

function noKey(forget: Carrier | undefined, carriers: readonly Carrier[]): string {
  if (forget !== undefined) return `${carrierText(forget)} is empty, so cookie ${forget.remember} is taken back`;
  if (carriers.length === 0) return "no key from outside counts";
  return `not in ${carriers.map(carrierText).join(", nor in ")}`;
}

/** `a.b.c` may have been shortened to what the table has. */
function levels(carrier: Carrier, key: string, view: RequestView, watch: WatchList): readonly string[] {
  if (!carrier.levels) return [];
  const at = view.indexOf(watch.numberOf(carrier.name));
  const whole =
    at === -1 ? key : Buffer.from(view.sources[at]?.subarray(view.starts[at], view.ends[at]) ?? []).toString();
  return whole === key ? [] : [`nobody has ${whole}, so it falls back to ${key}`];
}

function isTrusted({ callers }: EdgeConfig, caller: string | undefined): boolean {
  return caller !== undefined && new AddressSet(callers).has(caller);
}

function edgeStep({ tenancy, caller }: Entrance, trusted: boolean): NonNullable<Question["edge"]> {
  const { carriers, signedBy } = tenancy.edge;
  if (trusted) {
    return { result: "trusted", because: `${caller} is one of tenancy.edge.callers, so every carrier counts` };
  }
  const who = caller === undefined ? "no caller was named" : `${caller} is none of tenancy.edge.callers`;
  const places = carriers.map(carrierText).join(", ");
  const signed = signedBy.length === 0 ? "" : `, signed by ${signedBy.map(({ id }) => id).join(" or ")}`;
  const what = carriers.length === 0 ? "no key counts" : `a key counts in ${places} only${signed}`;
  return { result: "from outside", because: `${who}, so ${what}; others are removed` };
}

/** What the edge lets in goes on as plain baggage, and signed keys count as what was signed. */
function verified(edge: EdgeConfig, read: Identified, trusted: boolean): Identified {
  const goesOn = (because: string): string =>
    because.includes("goes on in baggage") || trusted ? because : `${because}; goes on in baggage`;
  if (edge.signedBy.length === 0) return { ...read, keyBecause: goesOn(read.keyBecause ?? "") };
  const token = Buffer.from(read.key ?? "");
  const result = verify(edge, token);
  if (!result.ok) {
    const { key: _, required: __, ...rest } = read;
    return { ...rest, rejection: result.detail };
  }
  const until = new Date(result.expiresAtSeconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  const signed = `signed by ${result.signedBy} until ${until} UTC`;
  return { ...read, key: result.key, keyBecause: goesOn(`${read.keyBecause}; ${signed}`) };
}

/** With the files as they are now; they were good when the config was checked. */
function verify({ signedBy }: EdgeConfig, token: Uint8Array): Verified {
  const keys = signedBy.flatMap(({ id, algorithm, file }) => {
    try {
      const key = readVerifyingKey(id, algorithm, readFileSync(file));
      return "problem" in key ? [] : [key];
    } catch {
      return [];
    }
  });
  return verifyKey(token, 0, token.length, keys, Math.floor(Date.now() / 1000));
}

function textOf({ bytes, start, end }: Found): string {
  return Buffer.from(bytes.subarray(start, end)).toString("utf8");
}
