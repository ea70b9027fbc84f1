import { valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import type { Carrier, ProxyConfigDocument } from "./proxy-config.ts";

const KINDS = ["baggage", "tracestate", "header"] as const;

/** Headers whose value means something else to HTTP itself, so that it can never be a routing key. */
const NOT_CARRIERS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

type CarrierDocument = ProxyConfigDocument["tenancy"]["carriers"][number];

/** Checks that each carrier names one place, spelled as that place allows, and none twice. */
export function checkCarriers(documents: readonly CarrierDocument[], problems: Finding[]): readonly Carrier[] {
  const carriers: Carrier[] = [];
  for (const [index, document] of documents.entries()) {
    const given = KINDS.flatMap((kind) => {
      const name = document[kind];
      return name === undefined ? [] : [{ kind, name }];
    });
    const [carrier, second] = given;
    if (carrier === undefined || second !== undefined) {
      problems.push({
        place: valueAt("tenancy", "carriers", index),
        message:
          carrier === undefined ? "an empty carrier" : `a carrier with ${given.map(({ kind }) => kind).join(" and ")}`,
        why: "a carrier is one of baggage, tracestate, header",
        hint: carrier === undefined ? "write - baggage: sidelane" : "write one list entry for each",
      });
      continue;
    }
    const place = valueAt("tenancy", "carriers", index, carrier.kind);
    const wrong = spelling(carrier);
    if (wrong !== undefined) problems.push({ place, ...wrong });
    const name = carrier.kind === "header" ? carrier.name.toLowerCase() : carrier.name;
    const first = carriers.findIndex((other) => other.kind === carrier.kind && other.name === name);
    if (first !== -1) {
      problems.push({
        place,
        other: valueAt("tenancy", "carriers", first, carrier.kind),
        message: `carrier ${carrier.kind}: ${name} is listed twice`,
        hint: "remove one",
      });
    }
    carriers.push({ kind: carrier.kind, name });
  }
  return carriers;
}

function spelling({ kind, name }: Carrier): Omit<Finding, "place"> | undefined {
  if (kind === "tracestate") {
    // W3C Trace Context §3.3.2.2.1: a key, possibly tenant@system.
    const valid = /^[a-z0-9][a-z0-9_\-*/]{0,240}(?:@[a-z][a-z0-9_\-*/]{0,13})?$|^[a-z0-9][a-z0-9_\-*/@]{0,255}$/u.test(
      name,
    );
    if (valid) return undefined;
    const why = "it begins with a small letter or digit and holds small letters, digits, '_', '-', '*', '/' and '@'";
    return { message: `${JSON.stringify(name)} is not a tracestate key`, why, hint: "write sidelane" };
  }
  // RFC 9110 §5.6.2: a token; W3C Baggage §3.3.1 uses the same one.
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/u.test(name)) {
    const what = kind === "baggage" ? "a baggage key" : "a header name";
    const why = "it holds letters, digits and !#$%&'*+-.^_`|~";
    return {
      message: `${JSON.stringify(name)} is not ${what}`,
      why,
      hint: `write ${kind === "baggage" ? "sidelane" : "x-sandbox"}`,
    };
  }
  if (kind === "baggage") return undefined;
  const folded = name.toLowerCase();
  if (folded === "baggage" || folded === "tracestate") {
    const why = "the whole header is a list of members, not a routing key";
    return { message: `header ${name} cannot be a carrier of its own`, why, hint: `write - ${folded}: sidelane` };
  }
  if (!NOT_CARRIERS.has(folded)) return undefined;
  return {
    message: `header ${name} cannot be a carrier`,
    why: "it has a meaning in HTTP itself",
    hint: "write x-sandbox",
  };
}
