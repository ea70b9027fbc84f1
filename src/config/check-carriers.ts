import { parseHostPattern } from "../protocol/context/host-pattern.ts";
import { carrierKinds, carrierOf } from "../routing/carrier.ts";
import type { Carrier, CarrierKind } from "../routing/carrier.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding, Path, Place } from "../routing/finding.ts";
import { nearest } from "../routing/nearest.ts";
import { aliasCarriers, aliasNames } from "./aliases.ts";
import type { CheckContext } from "./check-tls.ts";
import type { CarrierDocument } from "./tenancy-schema.ts";

const KINDS = [...carrierKinds, "alias"] as const;

/** Headers whose value means something else to HTTP itself, so that it can never be a routing key. */
const HTTP_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "expect",
  "http2-settings",
  "keep-alive",
  "max-forwards",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
]);

/** Headers that others need as they are: a carrier is removed at edges, and written where many can read it. */
const NOT_CARRIERS: Readonly<Record<string, string | undefined>> = {
  authorization: "it holds credentials, which the service needs",
  "proxy-authorization": "it holds credentials",
  traceparent: "it holds the id of the trace, which all services need",
  "x-sidelane-debug": "it has a meaning in Sidelane itself",
};

/** Headers that are carriers by another name, with what to write instead. */
const OTHER_KINDS: Readonly<Record<string, readonly [why: string, hint: string] | undefined>> = {
  baggage: ["the whole header is a list of members, not a routing key", "write - baggage: sidelane"],
  cookie: ["the whole header is a list of cookies, not a routing key", "write - cookie: sidelane"],
  host: ["it names the service, too", 'write - host: "{key}--*"'],
  tracestate: ["the whole header is a list of members, not a routing key", "write - tracestate: sidelane"],
};

interface Listed {
  readonly carrier: Carrier;
  readonly place: Place;
}

/**
 * Checks that each carrier of the list at `path` names one place, spelled as that place allows, and none twice, and expands
 * aliases.
 */
export function checkCarriers(
  documents: readonly CarrierDocument[],
  path: Path,
  { problems, warnings }: CheckContext,
): readonly Carrier[] {
  const listed: Listed[] = [];
  for (const [index, document] of documents.entries()) {
    const expanded = toCarriers(document, [...path, index], problems);
    const twice = expanded.flatMap((one) => listedTwice(one, listed) ?? [])[0];
    if (twice !== undefined) problems.push(twice);
    listed.push(...expanded);
  }
  for (const [index, document] of documents.entries()) {
    if (document.remember === undefined) continue;
    checkRemember(document, document.remember, listed, [...path, index], problems);
    warnOfEarlierCookie(document, document.remember, listed, [...path, index], warnings);
  }
  return listed.map(({ carrier }) => carrier);
}

function listedTwice({ carrier, place }: Listed, before: readonly Listed[]): Finding | undefined {
  const { kind, name, alias } = carrier;
  const first = before.find((other) => other.carrier.kind === kind && other.carrier.name === name);
  if (first === undefined) return undefined;
  const other = first.place;
  const hint = "remove one";
  if (alias !== "" && alias === first.carrier.alias)
    return { place, other, message: `alias ${alias} is listed twice`, hint };
  const message = `carrier ${kind}: ${name} is listed twice`;
  const expanded = alias === "" ? first.carrier.alias : alias;
  return { place, other, message, ...(expanded === "" ? {} : { why: `alias ${expanded} stands for it` }), hint };
}

function toCarriers(document: CarrierDocument, path: Path, problems: Finding[]): readonly Listed[] {
  const given = KINDS.flatMap((kind) => {
    const name = document[kind];
    return name === undefined ? [] : [{ kind, name }];
  });
  const [only, second] = given;
  if (only === undefined || second !== undefined) {
    problems.push({
      place: valueAt(...path),
      message:
        only === undefined ? "an empty carrier" : `a carrier with ${given.map(({ kind }) => kind).join(" and ")}`,
      why: `a carrier is one of ${KINDS.join(", ")}`,
      hint: only === undefined ? "write - baggage: sidelane" : "write one list entry for each",
    });
    return [];
  }
  const { kind, name } = only;
  const place = valueAt(...path, kind);
  if (kind === "alias") {
    const carriers = aliasCarriers(name, document.propagate);
    if (carriers !== undefined) return carriers.map((carrier) => ({ carrier, place }));
    problems.push(unknownAlias(name, place));
    return [];
  }
  const wrong = spelling(kind, name);
  if (wrong !== undefined) problems.push({ place, ...wrong });
  const carrier = carrierOf(kind, kind === "header" || kind === "host" ? name.toLowerCase() : name, {
    ...(document.propagate === undefined ? {} : { propagate: document.propagate }),
    remember: document.remember ?? "",
  });
  return [{ carrier, place }];
}

function unknownAlias(name: string, place: Place): Finding {
  const guess = nearest(name, aliasNames);
  return {
    place,
    message: `alias ${JSON.stringify(name)} is none that Sidelane knows`,
    why: `the aliases are ${aliasNames.join(", ")}`,
    hint: guess === undefined ? "write the member or header in which the key travels" : `write ${guess}`,
  };
}

/** The key comes back in the cookie, so somebody has to look there. */
function checkRemember(
  document: CarrierDocument,
  cookie: string,
  listed: readonly Listed[],
  path: Path,
  problems: Finding[],
): void {
  if (document.query === undefined) {
    problems.push({
      place: nameAt(...path, "remember"),
      message: "a carrier with remember that is not a query parameter",
      why: "only links lose the key with the next click",
      hint: "remove it",
    });
    return;
  }
  const place = valueAt(...path, "remember");
  const wrong = spelling("cookie", cookie);
  if (wrong !== undefined) {
    problems.push({ place, ...wrong });
  } else if (!listed.some(({ carrier }) => carrier.kind === "cookie" && carrier.name === cookie)) {
    problems.push({
      place,
      message: `the key is remembered in cookie ${cookie}, which is no carrier here`,
      why: "nobody would read it",
      hint: `add - cookie: ${cookie}`,
    });
  }
}

/** The first carrier that yields a key wins, so that no link could ever change or end what such a cookie says. */
function warnOfEarlierCookie(
  document: CarrierDocument,
  cookie: string,
  listed: readonly Listed[],
  path: Path,
  warnings: Finding[],
): void {
  if (document.query === undefined) return;
  const query = listed.findIndex(({ carrier }) => carrier.kind === "query" && carrier.name === document.query);
  const earlier = listed.findIndex(({ carrier }) => carrier.kind === "cookie" && carrier.name === cookie);
  const place = listed[earlier]?.place;
  if (place === undefined || earlier > query) return;
  warnings.push({
    place,
    other: valueAt(...path, "query"),
    message: `cookie ${cookie} stands before query ${document.query}, which it remembers`,
    why: "the first key that is found wins, so that no other link has any effect while the browser has the cookie",
    hint: "put the query first",
  });
}

/** RFC 9110 §5.6.2. W3C Baggage §3.3.1 and RFC 6265 §4.1.1 (cookie names) use the same one. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/u;
const TOKEN_TEXT = "it holds letters, digits and !#$%&'*+-.^_`|~";

/** W3C Trace Context §3.3.2.2.1: a key, possibly tenant@system. */
const TRACESTATE_KEY = /^[a-z0-9][a-z0-9_\-*/]{0,240}(?:@[a-z][a-z0-9_\-*/]{0,13})?$|^[a-z0-9][a-z0-9_\-*/@]{0,255}$/u;

/** RFC 3986 §2.3, unreserved: what nobody has a reason to percent-encode. */
const PARAMETER = /^[0-9A-Za-z\-._~]{1,256}$/u;

const spellings: {
  readonly [kind in Exclude<CarrierKind, "host">]: {
    readonly what: string;
    readonly isLegal: (name: string) => boolean;
    readonly why: string;
    readonly hint: string;
  };
} = {
  baggage: { what: "a baggage key", isLegal: (name) => TOKEN.test(name), why: TOKEN_TEXT, hint: "write sidelane" },
  tracestate: {
    what: "a tracestate key",
    isLegal: (name) => TRACESTATE_KEY.test(name),
    why: "it begins with a small letter or digit and holds small letters, digits, '_', '-', '*', '/' and '@'",
    hint: "write sidelane",
  },
  header: { what: "a header name", isLegal: (name) => TOKEN.test(name), why: TOKEN_TEXT, hint: "write x-sandbox" },
  query: {
    what: "a query parameter",
    isLegal: (name) => PARAMETER.test(name),
    why: "it holds letters, digits, '-', '.', '_' and '~'",
    hint: "write sidelane",
  },
  cookie: { what: "a cookie name", isLegal: (name) => TOKEN.test(name), why: TOKEN_TEXT, hint: "write sidelane" },
};

function spelling(kind: CarrierKind, name: string): Omit<Finding, "place"> | undefined {
  if (kind === "host") {
    const pattern = parseHostPattern(name);
    if (!("problem" in pattern)) return undefined;
    return { message: `${JSON.stringify(name)} is not a host pattern`, why: pattern.problem, hint: pattern.hint };
  }
  const { what, isLegal, why, hint } = spellings[kind];
  if (!isLegal(name)) return { message: `${JSON.stringify(name)} is not ${what}`, why, hint };
  if (kind !== "header") return undefined;
  const folded = name.toLowerCase();
  const meaning = HTTP_HEADERS.has(folded) ? "it has a meaning in HTTP itself" : ownValue(NOT_CARRIERS, folded);
  if (meaning !== undefined) {
    return { message: `header ${name} cannot be a carrier`, why: meaning, hint: "write x-sandbox" };
  }
  const other = ownValue(OTHER_KINDS, folded);
  if (other === undefined) return undefined;
  return { message: `header ${name} cannot be a carrier of its own`, why: other[0], hint: other[1] };
}

function ownValue<T>(record: Readonly<Record<string, T | undefined>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
