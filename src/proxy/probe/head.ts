// The head of a probe: what a caller would send, with the key in the first carrier that the config reads from baggage, or else in
// the first that there is.
import { memberBytes } from "../../protocol/context/baggage-edit.ts";
import type { Carrier } from "../../routing/carrier.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import { DEBUG } from "../tenancy/tenancy.ts";
import { PROBE_PROPERTY } from "./probe-mark.ts";
import type { ProbeTarget } from "./target.ts";

/** What probes call themselves, in access logs. */
const PROBE_AGENT = "sidelane-probe";

/** The head of a request, whichever HTTP version carries it. */
export interface ProbeHead {
  readonly authority: string;
  readonly path: string;
  /** Names in small letters. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** The head, or why there can be none. */
export function headOf(
  table: CompiledTable,
  carriers: readonly Carrier[],
  target: ProbeTarget,
  path: string,
): ProbeHead | { readonly error: string } {
  // What would end the line, or the request target, is refused and not escaped: it was meant to be a path.
  if (!/^\/[!-~]*$/u.test(path))
    return { error: `the path ${JSON.stringify(path)} cannot be asked for: write it as /healthz` };
  const carrier = chosen(carriers);
  const host = table.hosts(target.serviceId)[0] ?? target.service;
  const port = table.portNumber(target.servicePort);
  const authority = `${host.includes(":") ? `[${host}]` : host}${port === 0 ? "" : `:${port}`}`;
  const { key } = target;
  const own = [
    ["user-agent", PROBE_AGENT],
    ["accept", "*/*"],
    [DEBUG, "1"],
  ] as const;
  switch (carrier.kind) {
    case "baggage":
      return { authority, path, fields: [...own, ["baggage", `${member(carrier.name, key)};${PROBE_PROPERTY}`]] };
    case "cookie":
      return { authority, path, fields: [...own, ["cookie", member(carrier.name, key)]] };
    case "query": {
      const pair = `${encodeURIComponent(carrier.name)}=${encodeURIComponent(key)}`;
      return { authority, path: `${path}${path.includes("?") ? "&" : "?"}${pair}`, fields: own };
    }
    case "tracestate":
    case "header":
      if (!/^[!-~]+$/u.test(key)) return { error: `the key ${key} cannot be written into the carrier ${carrier.name}` };
      return {
        authority,
        path,
        fields: [...own, carrier.kind === "header" ? [carrier.name, key] : ["tracestate", `${carrier.name}=${key}`]],
      };
    case "host":
      return { authority: carrier.name.replace("{key}", () => key).replace("*", () => authority), path, fields: own };
  }
}

function chosen(carriers: readonly Carrier[]): Carrier {
  const inBaggage = carriers.filter(({ kind }) => kind === "baggage");
  // A config has one carrier at least.
  return inBaggage.find(({ alias }) => alias === "") ?? inBaggage[0] ?? (carriers[0] as Carrier);
}

function member(name: string, key: string): string {
  const bytes = new TextEncoder().encode(key);
  return new TextDecoder().decode(memberBytes(new TextEncoder().encode(name), bytes, 0, bytes.length));
}
