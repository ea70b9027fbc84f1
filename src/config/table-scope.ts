import type { Scope } from "../feed/messages.ts";
import type { ProxyConfig } from "./proxy-config.ts";

/** What of the control plane's table a sidecar asks for. */
export function tableScope({ table, tenancy }: Pick<ProxyConfig, "table" | "tenancy">): Scope {
  const services = table.services ?? [];
  // A key that nobody has is refused, so every key has to be known.
  return { services, names: services.length > 0 && tenancy.onUnknownKey === "reject" };
}

/** Whether there are services that the table does not even name. */
export function isPartialTable(config: Pick<ProxyConfig, "table" | "tenancy">): boolean {
  const { services, names } = tableScope(config);
  return services.length > 0 && !names;
}
