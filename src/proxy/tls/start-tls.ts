// All TLS of a config: what its listeners offer and what its services are asked for.

import type { ProxyConfig } from "../../config/proxy-config.ts";
import { ListenerTls } from "./listener-tls.ts";
import type { PemFilesDeps, PemStatus } from "./pem-files.ts";
import { UpstreamTls } from "./upstream-tls.ts";

/** TLS of one process. */
export interface ProxyTls {
  /** By listener name. */
  readonly listeners: ReadonlyMap<string, ListenerTls>;
  /** By service name. */
  readonly services: ReadonlyMap<string, UpstreamTls>;
  /** Certificates in use, and what is wrong with newer ones. */
  status(): readonly PemStatus[];
  close(): void;
}

/** Reads all files; rejects with a sentence that says which of them cannot be used. */
export async function startTls(config: ProxyConfig, deps: PemFilesDeps): Promise<ProxyTls> {
  const listeners = new Map<string, ListenerTls>();
  const services = new Map<string, UpstreamTls>();
  const all = (): readonly (ListenerTls | UpstreamTls)[] => [...listeners.values(), ...services.values()];
  const close = (): void => {
    for (const one of all()) one.close();
  };
  try {
    for (const { name, protocol, tls } of config.listeners) {
      if (tls === undefined) continue;
      const { headMs } = config.timeouts;
      listeners.set(name, await ListenerTls.start(name, protocol, tls, { ...deps, headMs }));
    }
    for (const [service, tls] of Object.entries(config.upstreamTls)) {
      services.set(service, await UpstreamTls.start(service, tls, deps));
    }
  } catch (error) {
    close();
    throw error;
  }
  return { listeners, services, status: () => all().map((one) => one.status()), close };
}
