// The webhook config as a type, and the shape of its file: what `sidelane webhook` runs with. Defaults, ranges and descriptions
// stand here once: the JSON Schema, docs/webhook-configuration.md and the environment twins (`SIDELANE_WEBHOOK_...`) come from this
// schema. What a field's text means is checked in load-webhook-config.ts.

import { z } from "zod";
import type { LimitInfo } from "../base/limits.ts";
import { numbers } from "./limits-schema.ts";
import type { LogLevel } from "./proxy-config.ts";

/** A webhook config with every default filled in and every check passed. All paths are absolute. */
export interface WebhookConfig {
  /** Where the API server asks: HTTPS. */
  readonly address: string;
  readonly tls: { readonly certificate: string; readonly key: string };
  /** Health and metrics: HTTP. */
  readonly admin: { readonly address: string };
  /** Absent: the pod's own ServiceAccount, or what kubectl would use. */
  readonly kubeconfig?: string;
  /** Sidelane's own; absent: that of the pod or the kubeconfig. */
  readonly namespace?: string;
  readonly sidecar: Omit<SidecarDefaults, "control"> & { readonly control?: string };
  readonly limits: WebhookLimits;
  readonly timeouts: WebhookTimeouts;
  readonly log: { readonly level: LogLevel };
}

/** What sidecars of a cluster have in common; annotations of a pod go before it. */
export interface SidecarDefaults {
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never" | undefined;
  /** Secrets that have to be in the namespace of each pod. */
  readonly imagePullSecrets: readonly string[];
  readonly logLevel: LogLevel;
  /** Amounts are Kubernetes quantities. */
  readonly cpuRequest: string;
  /** Absent: none. */
  readonly cpuLimit?: string | undefined;
  readonly memoryRequest: string;
  readonly memoryLimit?: string | undefined;
  /** `auto`: redirect, but where Pod Security does not allow it. */
  readonly interception: "auto" | "redirect" | "named-ports";
  /** `auto`: from Kubernetes 1.29 on. */
  readonly nativeSidecar: "auto" | "always" | "never";
  readonly onUnknownKey: "baseline" | "reject";
  readonly onUnavailable: "fail" | "baseline";
  readonly excludeInboundPorts: readonly number[];
  readonly excludeInboundRanges: readonly string[];
  readonly excludeOutboundRanges: readonly string[];
  /** Annotations that make Prometheus scrape the sidecar. */
  readonly scrape: boolean;
  /** `host:port` of the control plane's feed, spoken to with TLS. */
  readonly control: string;
  /** Of the token that is shown there. */
  readonly audience: string;
}

const limit = (value: number, min: number, max: number, doc: string): LimitInfo => ({ default: value, min, max, doc });

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** `limits:` of the webhook config. */
export const webhookLimitInfos = {
  bodyBytesMax: limit(8 * MIB, 64 * KIB, 64 * MIB, "bytes of one review; the API server takes requests of 3 MiB"),
  connectionsMax: limit(
    1024,
    1,
    100_000,
    "open connections; of more the one that has waited longest for a request is closed",
  ),
} as const satisfies Record<string, LimitInfo>;

/** `timeouts:` of the webhook config, in milliseconds. */
export const webhookTimeoutInfos = {
  namespaceMs: limit(
    1 * SECOND,
    50,
    10 * SECOND,
    "the API server has to tell of a namespace whose label has not arrived by itself yet",
  ),
  drainMs: limit(
    10 * SECOND,
    0,
    MINUTE,
    "reviews are still taken after SIGTERM, until the API server has heard that this replica is not ready any more",
  ),
} as const satisfies Record<string, LimitInfo>;

/** All limits, filled in. */
export type WebhookLimits = { readonly [name in keyof typeof webhookLimitInfos]: number };
/** All deadlines in milliseconds, filled in. */
export type WebhookTimeouts = { readonly [name in keyof typeof webhookTimeoutInfos]: number };

const text = (description: string, example: string) =>
  z
    .string()
    .min(1)
    .describe(description)
    .meta({ examples: [example] });

const ranges = (description: string) =>
  z
    .array(text("An address, or a range of addresses.", "10.0.0.0/8"))
    .default([])
    .describe(description)
    .meta({ examples: [["10.0.0.0/8"]] });

const oneOf = <const T extends readonly [string, ...string[]]>(values: T, byDefault: T[number], description: string) =>
  z
    .enum(values)
    .default(byDefault as never) // zod types it by its own map of the values
    .describe(description)
    .meta({ examples: [byDefault] });

const sidecar = z
  .strictObject({
    image: text("Image of the sidecar.", "registry.example/sidelane:0.1.0"),
    imagePullPolicy: z
      .enum(["Always", "IfNotPresent", "Never"])
      .optional()
      .describe("When nodes fetch it. Default: Kubernetes'.")
      .meta({ examples: ["IfNotPresent"] }),
    imagePullSecrets: z
      .array(text("Name of a Secret.", "registry"))
      .default([])
      .describe("Secrets with which nodes fetch it; they have to be in the namespace of each pod.")
      .meta({ examples: [["registry"]] }),
    logLevel: oneOf(["debug", "info", "warn", "error"], "info", "Least severity that is written."),
    cpuRequest: text("CPU that the sidecar is promised.", "10m").default("10m"),
    cpuLimit: text(
      "CPU that it may use at most. Default: no limit, because a throttled sidecar is slow for everybody.",
      "500m",
    ).optional(),
    memoryRequest: text("Memory that it is promised.", "64Mi").default("64Mi"),
    memoryLimit: text("Memory that it may use at most. Default: no limit.", "256Mi").optional(),
    interception: oneOf(
      ["auto", "redirect", "named-ports"],
      "auto",
      "How connections come to the sidecar. `auto`: `redirect`, but `named-ports` in namespaces whose Pod Security level refuses NET_ADMIN.",
    ),
    nativeSidecar: oneOf(
      ["auto", "always", "never"],
      "auto",
      "Whether the sidecar is an init container that stays. `auto`: from Kubernetes 1.29 on, before that an ordinary container.",
    ),
    onUnknownKey: oneOf(["baseline", "reject"], "baseline", "As `tenancy.onUnknownKey` of the proxy config."),
    onUnavailable: oneOf(["fail", "baseline"], "fail", "As `tenancy.onUnavailable` of the proxy config."),
    excludeInboundPorts: z
      .array(
        z
          .int()
          .min(1)
          .max(65_535)
          .describe("A port.")
          .meta({ examples: [9090] }),
      )
      .default([])
      .describe("Ports of pods that are never intercepted.")
      .meta({ examples: [[9090]] }),
    excludeInboundRanges: ranges("Callers that go past the sidecar, where connections are redirected."),
    excludeOutboundRanges: ranges("Destinations that are reached without the sidecar."),
    scrape: z
      .boolean()
      .default(true)
      .describe("Annotations that make Prometheus scrape the sidecar, on pods that have none of their own.")
      .meta({ examples: [false] }),
    control: text(
      "`host:port` of the control plane's table feed. Default: `sidelane-control.NAMESPACE.svc:15021`.",
      "sidelane-control.sidelane.svc:15021",
    ).optional(),
    audience: text("Audience of the token that the sidecar shows there.", "sidelane").default("sidelane"),
  })
  .describe("What sidecars have in common; annotations of a pod go before it.");

/** Shape of a webhook config file. */
export const webhookConfigSchema = z
  .strictObject({
    address: z
      .string()
      .default("0.0.0.0:15443")
      .describe("`host:port` at which the API server asks, by HTTPS; port 0 takes any free one.")
      .meta({ examples: ["0.0.0.0:15443"] }),
    tls: z
      .strictObject({
        certificate: text(
          "Path of the certificate, relative to this file: PEM. Waited for at the start; used anew when it changes.",
          "/etc/sidelane/tls/tls.crt",
        ).default("/etc/sidelane/tls/tls.crt"),
        key: text("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/tls/tls.key").default(
          "/etc/sidelane/tls/tls.key",
        ),
      })
      .prefault({})
      .describe("The API server trusts it by `caBundle` of the MutatingWebhookConfiguration."),
    admin: z
      .strictObject({
        address: z
          .string()
          .default("0.0.0.0:15030")
          .describe("`host:port` of `/live`, `/ready` and `/metrics`, by HTTP.")
          .meta({ examples: ["0.0.0.0:15030"] }),
      })
      .prefault({})
      .describe("Health and metrics."),
    kubeconfig: text(
      "Path of a kubeconfig, relative to this file. Default: `KUBECONFIG`, the pod's ServiceAccount, or what kubectl would use.",
      "./kubeconfig",
    ).optional(),
    namespace: text("Namespace of Sidelane, whose pods are left alone. Default: the pod's own.", "sidelane").optional(),
    sidecar,
    limits: numbers(webhookLimitInfos).prefault({}).describe("Upper bounds; per replica."),
    timeouts: numbers(webhookTimeoutInfos).prefault({}).describe("Deadlines in milliseconds."),
    log: z
      .strictObject({ level: oneOf(["debug", "info", "warn", "error"], "info", "Least severity that is written.") })
      .prefault({})
      .describe("The process log: JSON lines on standard error."),
  })
  .describe("Sidelane webhook config");

/** A webhook config file that has the right shape, defaults filled in. */
export type WebhookConfigDocument = z.output<typeof webhookConfigSchema>;
