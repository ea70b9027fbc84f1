// Writes the files that follow from a definition in src: JSON Schemas, docs/configuration.md, docs/control-configuration.md,
// docs/errors.md and docs/commands.md.
// `node scripts/generate.ts` writes them, with `--check` it says which are stale and exits 1.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { renderCommandDocs } from "../src/cli/command-docs.ts";
import { configJsonSchema, controlConfigJsonSchema, tableJsonSchema } from "../src/config/json-schema.ts";
import { webhookConfigJsonSchema } from "../src/config/load-webhook-config.ts";
import { operatorConfigJsonSchema } from "../src/config/operator-config.ts";
import type { JsonSchema } from "../src/config/schema-fields.ts";
import { configurationPage } from "./generate-configuration.ts";
import { controlConfigurationPage } from "./generate-control-configuration.ts";
import { errorsPage } from "./generate-errors.ts";
import { kubernetesResourcesPage } from "./generate-kubernetes-resources.ts";
import { webhookConfigurationPage } from "./generate-webhook-configuration.ts";

/** Every generated file with its content, paths from the root of the project. */
function generatedFiles(): Readonly<Record<string, string>> {
  return {
    "schema/sidelane.schema.json": schemaFile(configJsonSchema(), "Sidelane proxy config"),
    "schema/routes.schema.json": schemaFile(tableJsonSchema(), "Sidelane routing table"),
    "schema/control-config.schema.json": schemaFile(controlConfigJsonSchema(), "Sidelane control config"),
    "schema/webhook-config.schema.json": schemaFile(webhookConfigJsonSchema(), "Sidelane webhook config"),
    "schema/operator-config.schema.json": schemaFile(operatorConfigJsonSchema(), "Sidelane operator config"),
    "docs/configuration.md": configurationPage(),
    "docs/control-configuration.md": controlConfigurationPage(),
    "docs/webhook-configuration.md": webhookConfigurationPage(),
    "docs/errors.md": errorsPage(),
    "docs/kubernetes-resources.md": kubernetesResourcesPage(),
    "docs/commands.md": renderCommandDocs(),
  };
}

function schemaFile(schema: JsonSchema, title: string): string {
  const { $schema, ...rest } = schema as JsonSchema & { readonly $schema: string };
  return `${JSON.stringify({ $schema, title, ...rest }, undefined, 2)}\n`;
}

function current(url: URL): string | undefined {
  try {
    return readFileSync(url, "utf8");
  } catch {
    return undefined;
  }
}

const check = process.argv.includes("--check");
const unknown = process.argv.slice(2).filter((argument) => argument !== "--check");
if (unknown.length > 0) {
  console.error(`unknown argument ${unknown.join(" ")}; usage: node scripts/generate.ts [--check]`);
  process.exit(2);
}

for (const [path, content] of Object.entries(generatedFiles())) {
  const url = new URL(`../${path}`, import.meta.url);
  if (current(url) === content) continue;
  if (check) {
    console.error(`${path} is stale: run node scripts/generate.ts`);
    process.exitCode = 1;
  } else {
    mkdirSync(dirname(url.pathname), { recursive: true });
    writeFileSync(url, content);
    console.log(`wrote ${path}`);
  }
}
