import { dirname, resolve } from "node:path";
import { configJsonSchema } from "./json-schema.ts";
import { overlay, withEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { mistakenFile } from "./file-kind.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { proxyConfigSchema } from "./proxy-config.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import { shapeFindings } from "./shape-problems.ts";
import { toProxyConfig } from "./check-config.ts";
import { parseYaml } from "./yaml.ts";
import type { SourceMap } from "./yaml.ts";

/** A config to run with, or everything that is wrong with file and environment. */
export type LoadConfigResult =
  | {
      readonly ok: true;
      readonly config: ProxyConfig;
      readonly warnings: readonly Problem[];
      /** Locates fields in file and environment, for checks against other files. */
      readonly source: SourceMap;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Reads a proxy config from the text of its file and the environment, whose variables win. `file` is the path of the file:
 * for messages, and because relative paths in it are relative to it. With an empty text everything comes from the environment.
 */
export function loadConfig(text: string, file: string, environment: Environment): LoadConfigResult {
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return parsed;
  const mistaken = mistakenFile(parsed.value, "config", file);
  if (mistaken !== undefined) return { ok: false, problems: [mistaken] };
  const schema = configJsonSchema();
  const overlaid = overlay(withoutEmpty(parsed.value), environment, schema);
  const source = withEnvironment(parsed.source, overlaid.origins);
  const shape = proxyConfigSchema.safeParse(overlaid.value);
  if (!shape.success) {
    const findings = shapeFindings(shape.error.issues, overlaid.value, schema, source);
    const problems = [...overlaid.problems, ...toProblems(findings, source)];
    return { ok: false, problems: sortProblems(problems) };
  }
  const checked = toProxyConfig(shape.data, overlaid.value, (path) => resolve(dirname(file), path));
  const problems = [...overlaid.problems, ...toProblems(checked.problems, source)];
  if (problems.length > 0) return { ok: false, problems: sortProblems(problems) };
  return { ok: true, config: checked.config, warnings: toProblems(checked.warnings, source), source };
}

/** A field without a value (`limits:` and nothing behind it, or only comments) counts as left out. */
export function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(fields.map(([name, field]) => [name, withoutEmpty(field)]));
}
