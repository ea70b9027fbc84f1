import { dirname, resolve } from "node:path";
import { toControlConfig } from "./check-control.ts";
import { controlConfigSchema } from "./control-config.ts";
import type { ControlConfig } from "./control-config.ts";
import { controlTwins, overlay, withEnvironment } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { mistakenFile } from "./file-kind.ts";
import { controlConfigJsonSchema } from "./json-schema.ts";
import { withoutEmpty } from "./load-config.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { shapeFindings } from "./shape-problems.ts";
import { parseYaml } from "./yaml.ts";
import type { SourceMap } from "./yaml.ts";

/** A control config to run with, or everything that is wrong with file and environment. */
export type LoadControlConfigResult =
  | {
      readonly ok: true;
      readonly config: ControlConfig;
      readonly warnings: readonly Problem[];
      /** Locates fields in file and environment, for checks against other files. */
      readonly source: SourceMap;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * As `loadConfig`, for the control config. With an empty text everything comes from the environment and the defaults; `file` is then
 * only what relative paths are relative to. `store` wins over both when it is given.
 */
export function loadControlConfig(
  text: string,
  file: string,
  environment: Environment,
  store?: string,
): LoadControlConfigResult {
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return parsed;
  const mistaken = mistakenFile(parsed.value, "control", file);
  if (mistaken !== undefined) return { ok: false, problems: [mistaken] };
  const schema = controlConfigJsonSchema();
  const overlaid = overlay(withoutEmpty(parsed.value), environment, schema, controlTwins);
  const origins = new Map(overlaid.origins);
  if (store !== undefined && isMap(overlaid.value)) {
    overlaid.value["store"] = store;
    origins.set("store", "--store");
  }
  const source = withEnvironment(parsed.source, origins);
  const shape = controlConfigSchema.safeParse(overlaid.value);
  if (!shape.success) {
    const findings = shapeFindings(shape.error.issues, overlaid.value, schema, source);
    const problems = [...overlaid.problems, ...toProblems(findings, source)];
    return { ok: false, problems: sortProblems(problems) };
  }
  const inFile = (path: string): string => resolve(dirname(file), path);
  // On the command line a path is relative to where one stands.
  const checked = toControlConfig(shape.data, inFile, store === undefined ? inFile : resolve);
  const problems = [...overlaid.problems, ...toProblems(checked.problems, source)];
  if (problems.length > 0) return { ok: false, problems: sortProblems(problems) };
  return { ok: true, config: checked.config, warnings: toProblems(checked.warnings, source), source };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
