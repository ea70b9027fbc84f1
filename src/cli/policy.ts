import { isIP } from "node:net";
import type { ListenerConfig, ProxyConfig, TenancyConfig } from "../config/proxy-config.ts";
import { isPartialTable } from "../config/table-scope.ts";
import { carrierOf } from "../routing/carrier.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { explain, isInTable } from "../routing/explain.ts";
import type { Explanation, Question } from "../routing/explain.ts";
import { hostHeader } from "./asked-view.ts";
import { identify } from "./identify.ts";
import type { Identified } from "./identify.ts";

/** What is asked about a request. */
export interface Asked {
  /** Name of a service, or an authority; without it the host of the headers, or the config's own service, is meant. */
  readonly service?: string;
  /** In place of what `service` would be: the authority as the caller writes it. */
  readonly host?: string;
  /** As if a carrier had yielded it: goes before everything else. */
  readonly key?: string;
  /** Request target, for keys in the query. */
  readonly path?: string;
  /** Address of the caller, for listeners with `edge: true`. */
  readonly caller?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The answer, or why the question makes no sense. */
export type Explained =
  | { readonly ok: true; readonly explanation: Explanation }
  | { readonly ok: false; readonly detail: string };

/** The explanation of a request as a sidecar with this config would decide it. */
export function explainWith(config: ProxyConfig, table: CompiledTable, asked: Asked): Explained {
  const wrong = faultOf(config, asked);
  if (wrong !== undefined) return { ok: false, detail: wrong };
  const { tenancy, sandbox } = config;
  const listener = listenerFor(config, asked);
  const inbound = listener?.direction === "inbound" ? listener : undefined;
  const service = asked.service ?? asked.host ?? (inbound === undefined ? hostHeader(asked.headers) : undefined);
  const egress = listener?.direction === "outbound" ? { egress: listener.egress } : {};
  const question = {
    table,
    policy: {
      direction: inbound === undefined ? "outbound" : "inbound",
      self: inbound !== undefined && sandbox !== undefined,
      onUnknownKey: tenancy.onUnknownKey,
      service: config.service,
      isPartial: isPartialTable(config),
      ...(sandbox === undefined ? {} : { sandbox }),
    },
    service: inbound === undefined ? (service ?? config.service) : config.service,
    ...(inbound === undefined ? egress : { target: inbound.target, port: inbound.port }),
  } as const;
  return { ok: true, explanation: explainRequest(question, tenancy, inbound?.edge === true, asked) };
}

/** As an outbound listener of a config with nothing but defaults would decide it. */
export function explainPlain(table: CompiledTable, asked: Asked & { readonly service: string }): Explanation {
  const carriers = [carrierOf("baggage", "sidelane")];
  const tenancy = { carriers, edge: { carriers: [], callers: [], signedBy: [] } };
  const policy = { direction: "outbound", self: false, onUnknownKey: "baseline" } as const;
  return explainRequest({ table, policy, service: asked.service, egress: "strip" }, tenancy, false, asked);
}

function explainRequest(
  question: Question,
  tenancy: Pick<TenancyConfig, "carriers" | "edge" | "stamp">,
  isEdge: boolean,
  asked: Asked,
): Explanation {
  const authority = asked.host ?? hostHeader(asked.headers) ?? question.service;
  const request = { authority, headers: asked.headers, ...(asked.path === undefined ? {} : { path: asked.path }) };
  const read = identify(
    { tenancy, isOutbound: question.policy.direction === "outbound", isEdge, caller: asked.caller },
    question.table,
    request,
  );
  const { knownHost, edge, ...found } = read;
  const key = asked.key === undefined ? found : { key: asked.key };
  // A name that was asked for is not the host that a key was found in.
  const known = knownHost !== undefined && authority === question.service ? { knownHost } : {};
  const named = { ...question, ...key, ...known, ...(edge === undefined ? {} : { edge }) };
  return explain({ ...named, ...stamped(named, tenancy.stamp) });
}

/** Outbound requests without a key get that of the workload, if it does not leave the table anyway. */
function stamped(question: Question & Identified, stamp: string | undefined): Partial<Identified> {
  if (stamp === undefined || question.policy.direction === "inbound" || question.key !== undefined) return {};
  if (question.egress === "strip" && !isInTable(question)) return {};
  const keyBecause = "stamped (tenancy.stamp): the request has none; goes on in baggage";
  return { key: stamp, carrier: "tenancy.stamp", keyBecause };
}

function faultOf({ service: own, listeners }: ProxyConfig, { service, caller, path }: Asked): string | undefined {
  if (path !== undefined && !/^(?:\/|https?:\/\/)[\x21-\x7e]*$/u.test(path)) {
    return `${JSON.stringify(path)} is no request target, write it as in /x?sidelane=pr-7`;
  }
  if (caller === undefined) return undefined;
  if (isIP(caller) === 0) return `${JSON.stringify(caller)} is no address, write the caller's as in 10.1.2.3`;
  if (!listeners.some((listener) => listener.direction === "inbound" && listener.edge)) {
    return "no listener of the config has edge: true, so it does not matter who the caller is";
  }
  if (service === undefined || service === own) return undefined;
  return `who the caller is matters to the listener with edge: true alone, which is ${own}'s, so leave out the caller, or the service ${service}`;
}

/** The config's own service arrives at its inbound listener; every other one is called through an outbound one. */
function listenerFor({ service, listeners }: ProxyConfig, asked: Asked): ListenerConfig | undefined {
  const inbound = listeners.filter((listener) => listener.direction === "inbound");
  const outbound = listeners.find(({ direction }) => direction === "outbound");
  if (asked.caller !== undefined) return inbound.find(({ edge }) => edge);
  const isOwn = (asked.service ?? asked.host ?? service) === service;
  return (isOwn ? inbound[0] : undefined) ?? outbound;
}
