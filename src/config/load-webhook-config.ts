import { dirname, resolve } from "node:path";
import { z } from "zod";
import { parseEndpoint } from "../routing/endpoint-name.ts";
import { valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { checkAddressRange } from "./address-range.ts";
import { Addresses, malformed, quote } from "./addresses.ts";
import { overlay, withEnvironment } from "./environment.ts";
import type { Environment, TwinSpace } from "./environment.ts";
import { mistakenFile } from "./file-kind.ts";
import { withoutEmpty } from "./load-config.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { quantity } from "./quantity.ts";
import type { JsonSchema } from "./schema-fields.ts";
import { shapeFindings } from "./shape-problems.ts";
import { webhookConfigSchema } from "./webhook-config.ts";
import type { WebhookConfig, WebhookConfigDocument } from "./webhook-config.ts";
import { parseYaml } from "./yaml.ts";

/** A webhook config to run with, or everything that is wrong with file and environment. */
export type LoadWebhookConfigResult =
  | { readonly ok: true; readonly config: WebhookConfig }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Variables of the webhook config. */
export const webhookTwins: TwinSpace = {
  prefix: "SIDELANE_WEBHOOK_",
  isForeign: (name) => name === "SIDELANE_WEBHOOK_CONFIG",
  page: "docs/webhook-configuration.md",
};

/** JSON Schema of the webhook config, as files are written. Draft 7, because that is what the YAML plugins of editors know. */
export function webhookConfigJsonSchema(): JsonSchema {
  return z.toJSONSchema(webhookConfigSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}

/** As `loadConfig`, for the webhook config. The certificate is not looked at: it may come later. */
export function loadWebhookConfig(text: string, file: string, environment: Environment): LoadWebhookConfigResult {
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return parsed;
  const mistaken = mistakenFile(parsed.value, "webhook", file);
  if (mistaken !== undefined) return { ok: false, problems: [mistaken] };
  const schema = webhookConfigJsonSchema();
  const overlaid = overlay(withoutEmpty(parsed.value), environment, schema, webhookTwins);
  const source = withEnvironment(parsed.source, overlaid.origins);
  const shape = webhookConfigSchema.safeParse(overlaid.value);
  const findings = shape.success
    ? contentFindings(shape.data)
    : shapeFindings(shape.error.issues, overlaid.value, schema, source);
  const problems = [...overlaid.problems, ...toProblems(findings, source)];
  if (problems.length > 0 || !shape.success) return { ok: false, problems: sortProblems(problems) };
  const { tls, kubeconfig, namespace, sidecar, ...rest } = shape.data;
  const { control, ...defaults } = sidecar;
  const inFile = (path: string): string => resolve(dirname(file), path);
  return {
    ok: true,
    config: {
      ...rest,
      tls: { certificate: inFile(tls.certificate), key: inFile(tls.key) },
      sidecar: { ...defaults, ...(control === undefined ? {} : { control }) },
      ...(kubeconfig === undefined ? {} : { kubeconfig: inFile(kubeconfig) }),
      ...(namespace === undefined ? {} : { namespace }),
    },
  };
}

/** What is wrong with texts that stand for something. */
function contentFindings({ address, admin, sidecar }: WebhookConfigDocument): readonly Finding[] {
  const problems: Finding[] = [];
  const addresses = new Addresses(problems);
  addresses.claim(address, ["address"], "the webhook");
  addresses.claim(admin.address, ["admin", "address"], "the admin server");
  if (sidecar.control !== undefined) {
    const endpoint = parseEndpoint(sidecar.control);
    const path: Path = ["sidecar", "control"];
    if ("problem" in endpoint) problems.push(malformed(path, `${quote(sidecar.control)} is not host:port`, endpoint));
  }
  for (const field of ["cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"] as const) {
    const amount = sidecar[field];
    if (amount === undefined || quantity(amount) !== undefined) continue;
    problems.push({
      place: valueAt("sidecar", field),
      message: `${quote(amount)} is not a quantity of Kubernetes`,
      hint: field.startsWith("cpu") ? "write one as 100m" : "write one as 64Mi",
    });
  }
  for (const [request, most] of [
    ["cpuRequest", "cpuLimit"],
    ["memoryRequest", "memoryLimit"],
  ] as const) {
    const [asked, allowed] = [quantity(sidecar[request]), quantity(sidecar[most] ?? "")];
    if (asked === undefined || allowed === undefined || asked <= allowed) continue;
    problems.push({
      place: valueAt("sidecar", request),
      other: valueAt("sidecar", most),
      message: `${request} is more than ${most}`,
      why: "Kubernetes refuses such pods",
      hint: "raise the limit",
    });
  }
  for (const field of ["excludeInboundRanges", "excludeOutboundRanges"] as const) {
    for (const [index, range] of sidecar[field].entries()) {
      // Every address is a lot to leave out, and nothing dangerous: what is said about it elsewhere is not meant here.
      const context = { problems, warnings: [], resolvePath: (path: string) => path };
      checkAddressRange(range, ["sidecar", field, index], context);
    }
  }
  return problems;
}
