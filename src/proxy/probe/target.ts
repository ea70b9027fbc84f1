// What a probe asks about, as the table has it now: the sandboxes that its key selects and the endpoints that should answer.
import type { Probe, ProbeResult } from "../../feed/messages.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import { NO_SERVICE } from "../../routing/decide.ts";

/** Who is to answer. */
export interface ProbeTarget {
  readonly key: string;
  readonly service: string;
  /** Id in the table. */
  readonly serviceId: number;
  readonly servicePort: number;
  /** The sandbox of the key that has the service; of a group the first. */
  readonly sandbox: string;
  /** `host:port`, as written. */
  readonly endpoints: readonly string[];
  readonly tableVersion: number;
}

/** Finds the target; a result where the table settles that nobody of the sandbox can answer. */
export function targetOf(table: CompiledTable, { service, port, key }: Probe): ProbeTarget | ProbeResult {
  const bytes = new TextEncoder().encode(key);
  const target = table.findTarget(bytes, 0, bytes.length);
  const which = `the table of this sidecar (its version ${table.version})`;
  if (target === -1) return unanswered(`${which} has no sandbox or group with the key ${key}`);
  const serviceId = table.serviceByName(service);
  if (serviceId === NO_SERVICE) return unanswered(`${which} does not have the service ${service}`);
  const servicePort = table.servicePortByName(serviceId, port);
  if (servicePort === -1) {
    const names = table.portNames(serviceId).join(", ");
    return unanswered(`${which} has no port "${port}" of the service ${service}, but ${names}`);
  }
  const set = table.overrideSet(target, servicePort);
  if (set === -1) return unanswered(`in ${which} nothing that the key ${key} selects has the service ${service}`);
  return {
    key,
    service,
    serviceId,
    servicePort,
    sandbox: table.setOwner(set),
    endpoints: table.endpoints(set),
    tableVersion: table.version,
  };
}

/** That nobody of the sandbox has answered. */
export function unanswered(detail: string, more: Partial<ProbeResult> = {}): ProbeResult {
  return { answered: false, destination: "none", endpoint: "", status: 0, detail, ...more };
}

/** The endpoints in a sentence. */
export function endpointsText(endpoints: readonly string[]): string {
  return endpoints.length === 1 ? `the endpoint ${endpoints[0]}` : `the endpoints ${endpoints.join(", ")}`;
}

/** The endpoint, where there is only one that it can have been. */
export function onlyEndpoint({ endpoints }: ProbeTarget): string {
  return endpoints.length === 1 ? (endpoints[0] ?? "") : "";
}
