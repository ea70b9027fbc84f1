// The config that a pod's sidecar runs with.

import { stringify } from "yaml";
import type { SidecarDefaults } from "../../config/webhook-config.ts";
import { ADMIN_PORT, INBOUND_PORT, OPEN_PORT, OUTBOUND_PORT } from "../../kube/injected-pod.ts";
import type { InboundPlan } from "./services.ts";
import type { PodSettings } from "./settings.ts";

/** Where the pod has what the config names. */
export const PATHS = {
  config: "/etc/sidelane",
  configFile: "proxy.yaml",
  ca: "/etc/sidelane/ca",
  caFile: "ca.crt",
  token: "/var/run/secrets/sidelane",
  tokenFile: "token",
  data: "/var/lib/sidelane",
} as const;

/** What the config follows from. */
export interface ConfigAsked {
  readonly settings: PodSettings;
  readonly defaults: SidecarDefaults;
  readonly inbound: InboundPlan;
  /** Ascending. */
  readonly outboundPorts: readonly number[];
}

/** The config as YAML: the same for the same pod, byte by byte. */
export function proxyConfig({ settings, defaults, inbound, outboundPorts }: ConfigAsked): string {
  const { sandbox, stamp } = settings;
  const host = settings.targetHost.includes(":") ? `[${settings.targetHost}]` : settings.targetHost;
  const listeners = [
    ...inbound.ports.map(({ target, name, protocol }, index) => ({
      name: `inbound-${target}`,
      direction: "inbound",
      address: `*:${INBOUND_PORT + index}`,
      target: `${host}:${target}`,
      ...(name === undefined ? {} : { port: name }),
      ...(protocol === "auto" ? {} : { protocol }),
    })),
    ...outboundPorts.map((port, index) => ({
      name: `outbound-${port}`,
      direction: "outbound",
      // Both loopback addresses, where redirected connections of the pod's own arrive: an outbound listener goes wherever the caller
      // says, and nobody outside may make use of that.
      address: `localhost:${OUTBOUND_PORT + index}`,
      // The app's own requests to the world stay what they are.
      egress: "keep",
    })),
  ];
  const config = {
    service: inbound.service,
    ...(sandbox === undefined ? {} : { sandbox }),
    listeners,
    table: {
      control: defaults.control,
      tls: { ca: `${PATHS.ca}/${PATHS.caFile}` },
      tokenFile: `${PATHS.token}/${PATHS.tokenFile}`,
      keep: `${PATHS.data}/table.json`,
    },
    tenancy: {
      onUnknownKey: settings.onUnknownKey ?? defaults.onUnknownKey,
      onUnavailable: settings.onUnavailable ?? defaults.onUnavailable,
      ...(stamp === undefined ? {} : { stamp }),
    },
    admin: { address: `127.0.0.1:${ADMIN_PORT}`, open: `*:${OPEN_PORT}` },
    log: { level: settings.logLevel ?? defaults.logLevel },
  };
  return stringify(config, { lineWidth: 0 });
}
