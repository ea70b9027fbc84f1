// The control config as a type, and the shape of its file: what `sidelane control` runs with. Defaults, ranges and
// descriptions stand here once: the JSON Schema, docs/control-configuration.md and the environment twins
// (`SIDELANE_CONTROL_...`) come from this schema. What one field says about another is checked in check-control.ts.

import { z } from "zod";
import { numbers } from "./limits-schema.ts";
import { logSchema } from "./log-schema.ts";
import type { LimitInfo } from "../base/limits.ts";
import type { LogLevel } from "./proxy-config.ts";

/** A control config with every default filled in and every cross-check passed. All paths are absolute. */
export interface ControlConfig {
  readonly store: StoreConfig;
  /** For people, commands, connected machines and other replicas: HTTP. */
  readonly api: ServerConfig;
  /** For sidecars: gRPC. */
  readonly feed: ServerConfig;
  /** URL without a final slash at which other replicas reach this one's API; absent: made from the bound address. */
  readonly advertise?: string;
  readonly replicas: ReplicasConfig;
  readonly auth: AuthConfig;
  readonly connect: ConnectConfig;
  readonly limits: ControlLimits;
  readonly timeouts: ControlTimeouts;
  readonly log: { readonly level: LogLevel };
}

/** How replicas ask each other. */
export interface ReplicasConfig {
  /** PEM: authorities that others' certificates come from. Absent: those that Node knows, and `clientCa` of the API. */
  readonly ca?: string;
}

/** Where the control plane keeps what it knows. */
export type StoreConfig = FileStoreConfig | EtcdStoreConfig | KubernetesStoreConfig;

export interface KubernetesStoreConfig {
  readonly kind: "kubernetes";
  /** Absent: that of the pod, or of the kubeconfig's context. */
  readonly namespace?: string;
}

export interface FileStoreConfig {
  readonly kind: "file";
  readonly directory: string;
}

export interface EtcdStoreConfig {
  readonly kind: "etcd";
  /** `host:port` of the members; at least one. */
  readonly endpoints: readonly string[];
  /** Begins with `/` and does not end with one; `/sidelane` unless the URL has a path. */
  readonly prefix: string;
  /** Present when the URL begins with `etcds:`. */
  readonly tls?: { readonly ca?: string; readonly certificate?: string; readonly key?: string };
  readonly username?: string;
  /** File with the password; present together with `username`. */
  readonly passwordFile?: string;
}

/** One address on which the control plane listens. */
export interface ServerConfig {
  /** `host:port`; port 0 is any free one. */
  readonly address: string;
  /** Absent: without TLS. */
  readonly tls?: ServerTlsConfig;
}

export interface ServerTlsConfig {
  /** PEM: the certificate, then those of the authorities between it and the root. */
  readonly certificate: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** PEM: clients may show certificates of these authorities. Absent: none are asked for. */
  readonly clientCa?: string;
}

/** What somebody may do: a sidecar follows the table and nothing else, a viewer reads, an editor writes. */
export type Role = "sidecar" | "viewer" | "editor";

/** `none`: everybody is an editor. */
export type AuthConfig =
  | { readonly kind: "none" }
  | {
      readonly kind: "credentials";
      /** Path of the tokens file; absent: there are no tokens. */
      readonly tokens?: string;
      /** In order; the first whose name fits decides. */
      readonly certificates: readonly CertificateRole[];
      /** Absent: tokens of Kubernetes are not known. */
      readonly kubernetes?: KubernetesAuth;
    };

/** Who has a token of the cluster, as its API server says (TokenReview), and what they may do. */
export interface KubernetesAuth {
  /** What the tokens have to be made for, so that one which leaks here is of no use elsewhere, and the other way round. */
  readonly audience: string;
  /** In order; the first whose name fits decides. */
  readonly roles: readonly KubernetesRole[];
}

export interface KubernetesRole {
  /** User name as the API server has it: `system:serviceaccount:NAMESPACE:NAME`. `*` stands for anything but `:`. */
  readonly name: string;
  readonly role: Role;
}

export interface CertificateRole {
  /** Common name of the certificate's subject; `*` any. */
  readonly name: string;
  readonly role: Role;
}

/** Where sidecars reach the machines of developers that are connected to this replica. */
export interface ConnectConfig {
  /** Host under which sidecars reach this replica. */
  readonly host: string;
  /** Ports that may be used for it, both included; one for each connected port of a service. */
  readonly ports: { readonly first: number; readonly last: number };
}

const limit = (value: number, min: number, max: number, doc: string): LimitInfo => ({ default: value, min, max, doc });

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `limits:` of the control config. */
export const controlLimitInfos = {
  bodyBytesMax: limit(1 * MIB, 1 * KIB, 64 * MIB, "bytes of the body of one request to the API"),
  connectionsMax: limit(1024, 1, 100_000, "open connections to the API"),
  waitsMax: limit(1000, 1, 100_000, "requests that wait at the API for a sandbox to get ready or to be gone"),
  resourcesMax: limit(100_000, 1, 1_000_000, "services, sandboxes and groups together; one more is refused"),
  streamsMax: limit(20_000, 1, 1_000_000, "sidecars that follow the table at this replica"),
  connectSessionsMax: limit(200, 1, 10_000, "machines of developers that are connected to this replica"),
} as const satisfies Record<string, LimitInfo>;

/** `timeouts:` of the control config, in milliseconds. */
export const controlTimeoutInfos = {
  disconnectedMs: limit(
    15 * SECOND,
    0,
    HOUR,
    "a sidecar that has lost its connection without a goodbye counts as behind; then it is forgotten",
  ),
  probeMs: limit(3 * SECOND, 100, MINUTE, "a sidecar has to answer a question: a probe of a sandbox, or its journal"),
  connectGraceMs: limit(
    30 * SECOND,
    0,
    HOUR,
    "a developer's machine that has lost its connection may take to come back before its services fall back",
  ),
  drainMs: limit(5 * SECOND, 0, HOUR, "running answers and streams get after SIGTERM"),
} as const satisfies Record<string, LimitInfo>;

/** All limits, filled in. */
export type ControlLimits = { readonly [name in keyof typeof controlLimitInfos]: number };
/** All deadlines in milliseconds, filled in. */
export type ControlTimeouts = { readonly [name in keyof typeof controlTimeoutInfos]: number };

const path = (description: string, example: string) =>
  z
    .string()
    .min(1, "write a path")
    .describe(description)
    .meta({ examples: [example] });

const serverTls = z
  .strictObject({
    certificate: path(
      "Path of the certificate, relative to this file: PEM, followed by the intermediate ones. Reloaded when it changes.",
      "/etc/sidelane/tls/tls.crt",
    ),
    key: path("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/tls/tls.key"),
    clientCa: path(
      "Path of the authorities that clients' certificates come from: PEM. With it clients may show a certificate instead of a token; `auth.certificates` says what they may do.",
      "/etc/sidelane/tls/ca.crt",
    ).optional(),
  })
  .describe("Clients connect with TLS; without this field they do not.")
  .meta({ examples: [{ certificate: "/etc/sidelane/tls/tls.crt", key: "/etc/sidelane/tls/tls.key" }] });

const server = (address: string, doc: string) =>
  z
    .strictObject({
      address: z
        .string()
        .default(address)
        .describe("`host:port` to listen on; port 0 takes any free one.")
        .meta({ examples: [address] }),
      tls: serverTls.optional(),
    })
    .prefault({})
    .describe(doc);

const roles = ["sidecar", "viewer", "editor"] as const satisfies readonly Role[];

const auth = z
  .union([
    z
      .literal("none")
      .describe(
        "`none`: everybody who reaches the addresses may do everything. The default while both are on loopback.",
      )
      .meta({ examples: ["none"] }),
    z.strictObject({
      tokens: path(
        "Path of the tokens file, relative to this file; reloaded when it changes.",
        "/etc/sidelane/tokens.yaml",
      ).optional(),
      certificates: z
        .array(
          z
            .strictObject({
              name: z
                .string()
                .min(1, "write a common name, or *")
                .describe("Common name of the subject of a client's certificate; `*` is any.")
                .meta({ examples: ["ci"] }),
              role: z
                .enum(roles)
                .describe("What whoever shows it may do.")
                .meta({ examples: ["editor"] }),
            })
            .describe("A role for certificates; the first entry whose name fits decides.")
            .meta({ examples: [{ name: "ci", role: "editor" }] }),
        )
        .default([])
        .describe("Roles of client certificates. Needs `clientCa` in `api.tls` or `feed.tls`."),
      kubernetes: z
        .strictObject({
          audience: z
            .string()
            .min(1, "write a word")
            .default("sidelane")
            .describe("Audience that the tokens have to be made for.")
            .meta({ examples: ["sidelane"] }),
          roles: z
            .array(
              z
                .strictObject({
                  name: z
                    .string()
                    .min(1, "write a user name")
                    .describe(
                      "User name as the API server has it, `system:serviceaccount:NAMESPACE:NAME`; `*` stands for anything but a colon.",
                    )
                    .meta({ examples: ["system:serviceaccount:*:*"] }),
                  role: z
                    .enum(roles)
                    .describe("What whoever has the token may do.")
                    .meta({ examples: ["sidecar"] }),
                })
                .describe("A role for users of the cluster; the first entry whose name fits decides.")
                .meta({ examples: [{ name: "system:serviceaccount:*:*", role: "sidecar" }] }),
            )
            .min(1, "write at least one role")
            .describe("Roles of users of the cluster."),
        })
        .optional()
        .describe("Tokens of Kubernetes are asked about at its API server, the one that the control plane runs in.")
        .meta({ examples: [{ roles: [{ name: "system:serviceaccount:*:*", role: "sidecar" }] }] }),
    }),
  ])
  .optional()
  .describe("Who may do what.")
  .meta({ examples: [{ tokens: "/etc/sidelane/tokens.yaml" }] });

/** Shape of a control config file. */
export const controlConfigSchema = z
  .strictObject({
    store: z
      .string()
      .default("file:./sidelane-control")
      .describe(
        "Where services, sandboxes and groups are kept. `file:DIR`: a directory, relative to this file, for one replica. `etcd://host:port,host:port/prefix`: etcd, for several; `etcds://` with TLS. `kubernetes://namespace`: objects in the Kubernetes API, for several; `kubernetes`: in the namespace that the control plane runs in.",
      )
      .meta({
        examples: [
          "file:/var/lib/sidelane-control",
          "etcd://10.0.0.1:2379,10.0.0.2:2379/sidelane",
          "kubernetes://sidelane",
        ],
      }),
    etcd: z
      .strictObject({
        tls: z
          .strictObject({
            ca: path(
              "Path of the authorities that etcd's certificates come from: PEM. Default: those that Node knows.",
              "/etc/sidelane/etcd/ca.crt",
            ).optional(),
            certificate: path(
              "Path of the certificate that is shown to etcd: PEM.",
              "/etc/sidelane/etcd/tls.crt",
            ).optional(),
            key: path("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/etcd/tls.key").optional(),
          })
          .optional()
          .describe("TLS to etcd; only with `etcds://`.")
          .meta({ examples: [{ ca: "/etc/sidelane/etcd/ca.crt" }] }),
        username: z
          .string()
          .min(1, "write a name, or leave it out")
          .optional()
          .describe("User of etcd, where it has authentication.")
          .meta({ examples: ["sidelane"] }),
        passwordFile: path("Path of a file that holds the user's password.", "/etc/sidelane/etcd/password").optional(),
      })
      .optional()
      .describe("How etcd is reached.")
      .meta({ examples: [{ username: "sidelane", passwordFile: "/etc/sidelane/etcd/password" }] }),
    api: server("127.0.0.1:15020", "The HTTP API: for people, commands, connected machines and other replicas."),
    feed: server("127.0.0.1:15021", "The table feed: gRPC, for sidecars."),
    advertise: z
      .string()
      .optional()
      .describe("URL at which other replicas reach this one's API. Default: hostname and port of `api.address`.")
      .meta({ examples: ["http://control-0:15020"] }),
    replicas: z
      .strictObject({
        ca: path(
          "Path of the authorities that the certificates of other replicas come from: PEM, reloaded when it changes. Default: those that Node knows, `api.tls.clientCa`, and a certificate that all replicas have.",
          "/etc/sidelane/tls/ca.crt",
        ).optional(),
      })
      .prefault({})
      .describe("How replicas ask each other, where `api.tls` is set."),
    auth,
    connect: z
      .strictObject({
        host: z
          .string()
          .optional()
          .describe("Host at which sidecars reach this replica, for `sidelane connect`. Default: the hostname.")
          .meta({ examples: ["control-0"] }),
        ports: z
          .string()
          .default("16000-16099")
          .describe(
            "Ports that may be opened for connected machines, first and last; one for each port of a connected service.",
          )
          .meta({ examples: ["16000-16099"] }),
      })
      .prefault({})
      .describe("Where sidecars reach the machines of developers."),
    limits: numbers(controlLimitInfos).prefault({}).describe("Upper bounds; per replica."),
    timeouts: numbers(controlTimeoutInfos).prefault({}).describe("Deadlines in milliseconds."),
    log: logSchema,
  })
  .describe("Sidelane control config");

/** A control config file that has the right shape, defaults filled in. */
export type ControlConfigDocument = z.output<typeof controlConfigSchema>;
