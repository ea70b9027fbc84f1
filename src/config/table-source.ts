// The `table` section of the proxy config: a file, or a control plane.

import { z } from "zod";
import { parseEndpoint } from "../routing/endpoint-name.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import { checkName } from "../routing/names.ts";
import { isLoopbackHost, malformed, quote } from "./addresses.ts";
import { checkClientPair, checkServerName } from "./check-tls.ts";
import type { CheckContext } from "./check-tls.ts";

/** Where the table comes from; which of the two is told by `file`. */
export type TableSourceConfig = FileTableConfig | ControlTableConfig;

export interface FileTableConfig {
  /** Absolute path. */
  readonly file: string;
  readonly control?: undefined;
  readonly keep?: undefined;
  readonly tls?: undefined;
  readonly services?: undefined;
}

/** Paths are absolute. */
export interface ControlTableConfig {
  readonly file?: undefined;
  /** `host:port` of the control plane's feed. */
  readonly control: string;
  /** Absent: without TLS. */
  readonly tls?: FeedTlsConfig;
  readonly tokenFile?: string;
  /** Only these are asked for, the config's own included; sorted. Absent: everything. */
  readonly services?: readonly string[];
  /** Where the last table is kept. */
  readonly keep: string;
}

/** TLS to the control plane. */
export interface FeedTlsConfig {
  /** PEM. Absent: the authorities that Node knows. */
  readonly ca?: string;
  /** PEM; present together with `key`. */
  readonly certificate?: string;
  readonly key?: string;
  /** Absent: the host of `control`. */
  readonly serverName?: string;
}

const path = (description: string, example: string) =>
  z
    .string()
    .min(1, "write a path")
    .describe(description)
    .meta({ examples: [example] })
    .optional();

/** `table` */
export const tableSourceSchema = z
  .strictObject({
    file: path("Path of the routing table, relative to this file; reloaded when it changes.", "./routes.yaml"),
    control: z
      .string()
      .optional()
      .describe("In place of `file`: `host:port` of a control plane's table feed, which is followed.")
      .meta({ examples: ["sidelane-control:15021"] }),
    tls: z
      .strictObject({
        ca: path(
          "Path of the authorities that the control plane's certificate comes from: PEM. Default: the public ones that Node knows.",
          "/etc/sidelane/control/ca.crt",
        ),
        certificate: path(
          "Path of the certificate that is shown to the control plane: PEM. Read anew for each connection.",
          "/etc/sidelane/control/tls.crt",
        ),
        key: path("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/control/tls.key"),
        serverName: z
          .string()
          .optional()
          .describe("Name that the control plane is asked for (SNI) and has to prove. Default: the host of `control`.")
          .meta({ examples: ["sidelane-control.tools.svc.cluster.local"] }),
      })
      .optional()
      .describe("Only with `control`: connect with TLS; `tls: {}` verifies by the authorities that Node knows.")
      .meta({ examples: [{ ca: "/etc/sidelane/control/ca.crt" }] }),
    tokenFile: path(
      "Only with `control`: path of a file that holds the sidecar's token. Read anew for each connection.",
      "/etc/sidelane/control/token",
    ),
    services: z
      .array(
        z
          .string()
          .describe("Name of a service, as the table calls it.")
          .meta({ examples: ["payments"] }),
      )
      .min(1, "a list of services must not be empty; leave `services` out for all of them")
      .optional()
      .describe(
        "Only with `control`: the services that this sidecar's own one calls. Of the table only these and the own one are asked for, which keeps memory small in a large cluster. Default: everything.",
      )
      .meta({ examples: [["payments", "ledger"]] }),
    keep: path(
      "Only with `control`: path of the file in which the last good table is kept, relative to this file. A sidecar that starts while its control plane is away starts from it. Default: `/var/lib/sidelane/<service>.table.json`, beside a sandbox's copy `/var/lib/sidelane/<service>.<sandbox>.table.json`.",
      "/var/lib/sidelane/checkout.table.json",
    ),
  })
  .describe("Where the routing table comes from: `file` or `control`.")
  .meta({ examples: [{ file: "./routes.yaml" }] });

const ONLY_WITH_CONTROL = ["tls", "tokenFile", "services", "keep"] as const;

type TableSourceDocument = z.output<typeof tableSourceSchema>;

/** Checks the section and makes its paths absolute. `owner`: whose sidecar this is. */
export function toTableSource(
  document: TableSourceDocument,
  owner: { readonly service: string; readonly sandbox?: string | undefined },
  context: CheckContext,
): TableSourceConfig {
  const { problems, resolvePath } = context;
  const { file, control } = document;
  if (file !== undefined && control !== undefined) {
    problems.push({
      place: nameAt("table", "control"),
      other: nameAt("table", "file"),
      message: "table has a file and a control plane",
      why: "a table comes from one place",
      hint: "remove one of them",
    });
  }
  if (file === undefined && control === undefined) {
    problems.push({
      place: nameAt("table"),
      message: "table says neither file nor control",
      why: "the table has to come from somewhere",
      hint: "write file: ./routes.yaml, or control: host:15021 for a control plane",
    });
  }
  if (control === undefined) {
    for (const field of ONLY_WITH_CONTROL) {
      if (document[field] === undefined || file === undefined) continue;
      problems.push({
        place: nameAt("table", field),
        message: `table has a file and ${field}`,
        why: `${field} is for tables that come from a control plane`,
        hint: `remove ${field}, or write control: host:15021 in place of file`,
      });
    }
    return { file: resolvePath(file ?? "") };
  }
  return toControl(control, document, owner, context);
}

function toControl(
  control: string,
  { tls, tokenFile, services, keep }: TableSourceDocument,
  { service, sandbox }: { readonly service: string; readonly sandbox?: string | undefined },
  { problems, warnings, resolvePath }: CheckContext,
): ControlTableConfig {
  const endpoint = parseEndpoint(control);
  if ("problem" in endpoint) {
    const url = URL.parse(control);
    const hint = url?.host ? `write ${url.port === "" ? `${url.hostname}:15021` : url.host}` : endpoint.hint;
    problems.push(malformed(["table", "control"], `${quote(control)} is not host:port`, { ...endpoint, hint }));
  } else if (tls === undefined && !isLoopbackHost(endpoint.host)) {
    warnings.push({
      place: valueAt("table", "control"),
      message: `the control plane ${control} is spoken to without TLS`,
      why: "whoever can answer in its place decides where requests go, and whoever listens can read the token",
      hint: "add tls: { ca: ... }, or guard the network",
    });
  }
  if (tls !== undefined) {
    checkServerName(tls.serverName, ["table", "tls"], problems, "a name that the control plane's certificate has");
    checkClientPair(tls, "the control plane", ["table", "tls"], problems);
  }
  for (const [index, name] of (services ?? []).entries()) {
    const wrong = checkName(name);
    if (wrong !== undefined)
      problems.push(malformed(["table", "services", index], `${quote(name)} is not a service name`, wrong));
  }
  const kept = `/var/lib/sidelane/${service}${sandbox === undefined ? "" : `.${sandbox}`}.table.json`;
  const { ca, certificate, key, serverName } = tls ?? {};
  return {
    control,
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(ca === undefined ? {} : { ca: resolvePath(ca) }),
            ...(certificate === undefined ? {} : { certificate: resolvePath(certificate) }),
            ...(key === undefined ? {} : { key: resolvePath(key) }),
            ...(serverName === undefined ? {} : { serverName }),
          },
        }),
    ...(tokenFile === undefined ? {} : { tokenFile: resolvePath(tokenFile) }),
    ...(services === undefined ? {} : { services: [...new Set([service, ...services])].toSorted() }),
    keep: keep === undefined ? kept : resolvePath(keep),
  };
}
