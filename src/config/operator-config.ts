// The operator config as a type, and the shape of its file: what `sidelane operator` runs with.

import { dirname, resolve } from "node:path";
import { z } from "zod";
import { valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { mistakenFile } from "./file-kind.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import type { LogLevel } from "./proxy-config.ts";
import type { JsonSchema } from "./schema-fields.ts";
import { shapeFindings } from "./shape-problems.ts";
import { parseYaml } from "./yaml.ts";

/** An operator config with every default filled in. Paths are absolute. */
export interface OperatorConfig {
  readonly control: {
    /** Of the replicas' API; at least one, without a slash at the end. */
    readonly urls: readonly string[];
    readonly tokenFile?: string;
    readonly ca?: string;
  };
  readonly admin: { readonly address: string };
  /** Absent: that of the pod, or of the kubeconfig's context. */
  readonly namespace?: string;
  readonly clusterDomain: string;
  readonly certificates: "operator" | "external" | "none";
  readonly log: { readonly level: LogLevel };
}

const file = (description: string, example: string) =>
  z
    .string()
    .min(1, "write a path")
    .describe(description)
    .meta({ examples: [example] });

/** Shape of an operator config file. */
const operatorConfigSchema = z
  .strictObject({
    control: z
      .strictObject({
        url: z
          .string()
          .describe("API of the control plane; of several replicas with commas between.")
          .meta({ examples: ["https://sidelane-control.sidelane.svc:15020"] }),
        tokenFile: file(
          "File with the token that the control plane knows the operator by; read again as it changes.",
          "/var/run/secrets/sidelane/token",
        ).optional(),
        ca: file(
          "PEM file of the authority that signed the control plane's certificate. Default: the one that the operator keeps.",
          "/etc/sidelane/ca/ca.crt",
        ).optional(),
      })
      .describe("Where sandboxes, groups and services are written to."),
    admin: z
      .strictObject({
        address: z
          .string()
          .default("127.0.0.1:15030")
          .describe("`host:port` for health and metrics; port 0 takes any free one.")
          .meta({ examples: ["0.0.0.0:15030"] }),
      })
      .prefault({})
      .describe("Health and metrics."),
    namespace: z
      .string()
      .min(1, "write a namespace")
      .optional()
      .describe("Namespace that Sidelane itself runs in: of leases and certificates. Default: the pod's own.")
      .meta({ examples: ["sidelane"] }),
    clusterDomain: z
      .string()
      .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/u, "write a domain in lower case, as cluster.local")
      .default("cluster.local")
      .describe("DNS domain of the cluster's Services.")
      .meta({ examples: ["cluster.local"] }),
    certificates: z
      .enum(["operator", "external", "none"])
      .default("operator")
      .describe(
        "`operator`: it makes and renews the certificates of webhook and control plane. `external`: something else does, as cert-manager, and it hands the authority on. `none`: nothing.",
      )
      .meta({ examples: ["external"] }),
    log: z
      .strictObject({
        level: z
          .enum(["debug", "info", "warn", "error"])
          .default("info")
          .describe("Least important lines that are written.")
          .meta({ examples: ["debug"] }),
      })
      .prefault({})
      .describe("The process log."),
  })
  .describe("What `sidelane operator` runs with.");

export type LoadOperatorConfigResult =
  | { readonly ok: true; readonly config: OperatorConfig }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** JSON Schema of the operator config, as files are written. */
export function operatorConfigJsonSchema(): JsonSchema {
  return z.toJSONSchema(operatorConfigSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}

/** Reads an operator config; `path` is that of the file, for messages and for what is relative to it. */
export function loadOperatorConfig(text: string, path: string): LoadOperatorConfigResult {
  const parsed = parseYaml(text, path);
  if (!parsed.ok) return parsed;
  const mistaken = mistakenFile(parsed.value, "operator", path);
  if (mistaken !== undefined) return { ok: false, problems: [mistaken] };
  const value = parsed.value ?? {};
  const shape = operatorConfigSchema.safeParse(value);
  if (!shape.success) {
    const findings = shapeFindings(shape.error.issues, value, operatorConfigJsonSchema(), parsed.source);
    return { ok: false, problems: sortProblems(toProblems(findings, parsed.source)) };
  }
  const { control, namespace, ...rest } = shape.data;
  const { url, tokenFile, ca } = control;
  const urls = url.split(",").map((one) => one.trim().replace(/\/+$/u, ""));
  const wrong = urls.find((one) => !/^https?:\/\/[^/?#@\s]+(?:\/[^?#\s]*)?$/u.test(one));
  if (wrong !== undefined) {
    const message = `${JSON.stringify(wrong)} is no URL of a control plane`;
    const finding: Finding = {
      place: valueAt("control", "url"),
      message,
      hint: "write https://sidelane-control.sidelane.svc:15020",
    };
    return { ok: false, problems: toProblems([finding], parsed.source) };
  }
  const inFile = (one: string): string => resolve(dirname(path), one);
  return {
    ok: true,
    config: {
      ...rest,
      control: {
        urls,
        ...(tokenFile === undefined ? {} : { tokenFile: inFile(tokenFile) }),
        ...(ca === undefined ? {} : { ca: inFile(ca) }),
      },
      ...(namespace === undefined ? {} : { namespace }),
    },
  };
}
