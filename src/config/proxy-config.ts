// The proxy config (DESIGN §3.2) as a type, and the shape of its file. Defaults, ranges and descriptions stand here once:
// the JSON Schema, docs/configuration.md and the environment twins come from this schema. What one field says about another
// is checked in load-config.ts.

import { z } from "zod";
import { limitInfos, timeoutInfos } from "../base/limits.ts";
import type { Limits, Timeouts } from "../base/limits.ts";
import type { SigningAlgorithm } from "../protocol/signed-key/signing-key.ts";
import type { Carrier } from "../routing/carrier.ts";
import { numbers } from "./limits-schema.ts";
import { logSchema } from "./log-schema.ts";
import { tableSourceSchema } from "./table-source.ts";
import type { TableSourceConfig } from "./table-source.ts";
import { tenancySchema } from "./tenancy-schema.ts";
import { listenerTlsSchema, upstreamTlsSchema } from "./tls-config.ts";
import type { ListenerTlsConfig, UpstreamTlsConfig } from "./tls-config.ts";

/** A proxy config with every default filled in and every cross-check passed. */
export interface ProxyConfig {
  /** The service this sidecar stands beside. */
  readonly service: string;
  /** The sandbox whose copy this sidecar stands beside, if any. */
  readonly sandbox?: string;
  /** At least one; names and addresses are distinct. */
  readonly listeners: readonly ListenerConfig[];
  readonly table: TableSourceConfig;
  readonly tenancy: TenancyConfig;
  /** By service name; connections to services that are not in it are not secured. */
  readonly upstreamTls: Readonly<Record<string, UpstreamTlsConfig>>;
  readonly admin: AdminConfig;
  /** Where the app asks whose a message is; absent: nowhere. */
  readonly ownership?: { readonly address: string };
  /** Where spans are sent (OTLP over HTTP); absent: there are none. */
  readonly spans?: { readonly endpoint: string };
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly workers: number;
  readonly log: { readonly level: LogLevel };
  readonly accessLog: AccessLogConfig;
}

export interface AdminConfig {
  /** `host:port` of the admin server. */
  readonly address: string;
  /** `host:port` of the server for health, metrics and reachability alone; absent: there is none. */
  readonly open?: string;
  /** Ports of this machine that the open server may be asked about, besides the listeners' targets. */
  readonly reach?: readonly number[];
}

export type ListenerConfig = InboundListenerConfig | OutboundListenerConfig;

interface ListenerBase {
  readonly name: string;
  /** `host:port`, or `*:port` for all addresses of both families; port 0 is any free one. */
  readonly address: string;
  readonly protocol: ListenerProtocol;
  /** Absent: clients connect without TLS. */
  readonly tls?: ListenerTlsConfig;
}

/** What a listener's clients speak; `auto`: what their first bytes say. */
export type ListenerProtocol = "auto" | "http1" | "http2" | "tcp";

/** Traffic to the service that the sidecar stands beside. */
export interface InboundListenerConfig extends ListenerBase {
  readonly direction: "inbound";
  /** `host:port` of the app. */
  readonly target: string;
  /** Name of the service's port that this listener is, "" when the service has one. */
  readonly port: string;
  /** The world comes in here: keys count only as far as `tenancy.edge` trusts them, the rest is removed. */
  readonly edge: boolean;
}

/** Traffic from that service to others. */
export interface OutboundListenerConfig extends ListenerBase {
  readonly direction: "outbound";
  /** What becomes of the key in requests to hosts that are not in the table. */
  readonly egress: "strip" | "keep";
}

export interface TenancyConfig {
  /** Tried in order; the first that yields a key wins. Never empty; aliases are expanded. */
  readonly carriers: readonly Carrier[];
  readonly onUnknownKey: "baseline" | "reject";
  readonly onUnavailable: "fail" | "baseline";
  /** The key that outbound requests without one are given. */
  readonly stamp?: string;
  /** What becomes of outbound requests whose trace came in with a key that they have lost. */
  readonly repair: "off" | "report" | "restore";
  readonly edge: EdgeConfig;
}

/** Whom the listeners with `edge: true` trust. */
export interface EdgeConfig {
  /** Where anybody may put a key; empty: nowhere. Aliases are expanded. */
  readonly carriers: readonly Carrier[];
  /** Addresses and address ranges (CIDR) of callers for which all of `tenancy.carriers` count as well, unsigned. */
  readonly callers: readonly string[];
  /** Not empty: keys from `carriers` count only when one of these signed them. Ids are distinct. */
  readonly signedBy: readonly SigningKeyConfig[];
}

/** A key by which signed routing keys are verified. */
export interface SigningKeyConfig {
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  /** Absolute path: of the secret, at least 32 bytes (hmac), or of the public key in PEM (ed25519). */
  readonly file: string;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface AccessLogConfig {
  readonly enabled: boolean;
  /** Share of exchanges that is written, 0 to 1. */
  readonly sample: number;
  readonly errorsOnly: boolean;
  /** Path, or "-" for standard output. */
  readonly file: string;
}

const listener = z
  .strictObject({
    name: z
      .string()
      .optional()
      .describe("Name in logs, metrics and errors; distinct. Default: the direction.")
      .meta({ examples: ["inbound"] }),
    direction: z
      .enum(["inbound", "outbound"])
      .describe("`inbound`: traffic to the service beside the sidecar. `outbound`: traffic from it to others.")
      .meta({ examples: ["inbound"] }),
    address: z
      .string()
      .describe(
        "`host:port` to listen on; port 0 takes any free one. `*:port`: all addresses, of both families where there is IPv6. `localhost:port`: 127.0.0.1 and, where there is one, ::1.",
      )
      .meta({ examples: ["0.0.0.0:15006"] }),
    target: z
      .string()
      .optional()
      .describe("Inbound only, and required there: `host:port` of the app, the baseline of this listener.")
      .meta({ examples: ["127.0.0.1:8080"] }),
    port: z
      .string()
      .optional()
      .describe("Inbound only: which port of the service this is, when the table gives it several.")
      .meta({ examples: ["http"] }),
    protocol: z
      .enum(["auto", "http1", "http2", "tcp"])
      .default("auto")
      .describe(
        "What clients speak. `auto`: HTTP/1.1 or HTTP/2, told by the first bytes; anything else goes to the baseline as TCP. `http1`, `http2`: that alone. `tcp`: bytes to the baseline, never waiting for the client to begin, as server-first protocols need it.",
      )
      .meta({ examples: ["http1"] }),
    tls: listenerTlsSchema.optional(),
    edge: z
      .boolean()
      .optional()
      .describe(
        "Inbound only: the world comes in here. Routing keys count only as far as `tenancy.edge` trusts them, all others are removed from the request. Default: false.",
      )
      .meta({ examples: [true] }),
    egress: z
      .enum(["strip", "keep"])
      .optional()
      .describe(
        "Outbound only: whether the routing key leaves with requests to hosts that are not in the table. `strip` removes what the carriers read, but for query parameters, which are the app's. Default: strip.",
      )
      .meta({ examples: ["keep"] }),
  })
  .describe("One address on which the sidecar listens.")
  .meta({ examples: [{ direction: "outbound", address: "127.0.0.1:15001" }] });

/** Shape of a proxy config file. */
export const proxyConfigSchema = z
  .strictObject({
    service: z
      .string()
      .describe("The service this sidecar stands beside, as the table calls it.")
      .meta({ examples: ["checkout"] }),
    sandbox: z
      .string()
      .optional()
      .describe("Only beside a sandbox's own copy of the service: inbound requests then always go to the app.")
      .meta({ examples: ["pr-7"] }),
    listeners: z
      .array(listener)
      .min(1, "a sidecar without listeners does nothing")
      .describe("Where the sidecar listens.")
      .meta({ examples: [[{ direction: "outbound", address: "127.0.0.1:15001" }]] }),
    table: tableSourceSchema,
    tenancy: tenancySchema,
    upstreamTls: z
      .record(z.string(), upstreamTlsSchema)
      .default({})
      .describe("Services whose endpoints are connected to with TLS, by their names in the table.")
      .meta({ examples: [{ ledger: { ca: "/etc/sidelane/tls/ca.crt" } }] }),
    admin: z
      .strictObject({
        address: z
          .string()
          .default("127.0.0.1:15000")
          .describe("`host:port` of the admin server; it asks for no password, so keep it on loopback.")
          .meta({ examples: ["127.0.0.1:15000"] }),
        open: z
          .string()
          .optional()
          .describe(
            "`host:port` or `*:port` of a second server, for kubelets and Prometheus: `GET /live`, `/ready`, `/metrics` and `/reach/tcp/PORT`, nothing else. Without this field there is none.",
          )
          .meta({ examples: ["*:15004"] }),
        reach: z
          .array(
            z
              .int()
              .min(1)
              .max(65_535)
              .describe("A port of this machine.")
              .meta({ examples: [9090] }),
          )
          .optional()
          .describe(
            "Ports of this machine that `GET /reach/tcp/PORT` answers for, besides the targets of inbound listeners.",
          )
          .meta({ examples: [[9090]] }),
      })
      .prefault({})
      .describe("Health, metrics, table and explanations."),
    ownership: z
      .strictObject({
        address: z
          .string()
          .describe("`host:port` on which the app asks; it asks for no password, so keep it on loopback.")
          .meta({ examples: ["127.0.0.1:15002"] }),
      })
      .optional()
      .describe(
        "A port for the app, where consumers of messages ask whose a message is. Without this field there is none.",
      )
      .meta({ examples: [{ address: "127.0.0.1:15002" }] }),
    spans: z
      .strictObject({
        endpoint: z
          .string()
          .describe("URL that takes traces by OTLP over HTTP (protobuf).")
          .meta({ examples: ["http://127.0.0.1:4318/v1/traces"] }),
      })
      .optional()
      .describe("OpenTelemetry spans of the requests that came in sampled. Without this field there are none.")
      .meta({ examples: [{ endpoint: "http://127.0.0.1:4318/v1/traces" }] }),
    limits: numbers(limitInfos).prefault({}).describe("Upper bounds; per process."),
    timeouts: numbers(timeoutInfos)
      .prefault({})
      .describe("Deadlines in milliseconds; 0 switches one off where 0 is allowed."),
    workers: z
      .int()
      .min(1)
      .max(256)
      .default(1)
      .describe("Processes that share the listeners.")
      .meta({ examples: [2] }),
    log: logSchema,
    accessLog: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe("Write a line per exchange.")
          .meta({ examples: [true] }),
        sample: z
          .number()
          .min(0)
          .max(1)
          .default(1)
          .describe("Share of exchanges that is written.")
          .meta({ examples: [0.01] }),
        errorsOnly: z
          .boolean()
          .default(false)
          .describe("Only exchanges that failed or ended with status 400 and above.")
          .meta({ examples: [true] }),
        file: z
          .string()
          .min(1, "write a path, or - for standard output")
          .default("-")
          .describe("Path to append to, relative to this file; `-` is standard output.")
          .meta({ examples: ["/var/log/sidelane/access.log"] }),
      })
      .prefault({})
      .describe("The access log: JSON lines."),
  })
  .describe("Sidelane proxy config");

/** A config file that has the right shape, defaults filled in. */
export type ProxyConfigDocument = z.output<typeof proxyConfigSchema>;
