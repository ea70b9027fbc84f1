import type { ListenerConfig, ProxyConfig } from "../config/proxy-config.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { explain } from "../routing/explain.ts";
import type { Explanation } from "../routing/explain.ts";
import { carrierName, findKey } from "./find-key.ts";

/** What is asked: the service or authority, and a key or the headers in which to look for one. */
export interface Asked {
  readonly service: string;
  /** Goes before `headers`. */
  readonly key?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The explanation of a request as a sidecar with this config would decide it. */
export function explainWith(config: ProxyConfig, table: CompiledTable, asked: Asked): Explanation {
  const { carriers, onUnknownKey } = config.tenancy;
  const found = asked.key === undefined ? findKey(carriers, asked.headers) : { key: asked.key };
  const inbound = listenerFor(config, asked.service);
  return explain({
    table,
    policy: {
      direction: inbound === undefined ? "outbound" : "inbound",
      self: inbound !== undefined && config.sandbox !== undefined,
      onUnknownKey,
      service: config.service,
      ...(config.sandbox === undefined ? {} : { sandbox: config.sandbox }),
    },
    service: asked.service,
    carriers: carriers.map(carrierName),
    ...found,
    ...(inbound?.direction === "inbound" ? { target: inbound.target, port: inbound.port } : {}),
  });
}

/** The config's own service arrives at its inbound listener; every other one would be called through an outbound one. */
function listenerFor(config: ProxyConfig, service: string): ListenerConfig | undefined {
  return service === config.service ? config.listeners.find(({ direction }) => direction === "inbound") : undefined;
}
