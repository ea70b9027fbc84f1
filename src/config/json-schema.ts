import { z } from "zod";
import { controlConfigSchema } from "./control-config.ts";
import { tableSchema } from "./table-schema.ts";
import { proxyConfigSchema } from "./proxy-config.ts";
import type { JsonSchema } from "./schema-fields.ts";

// Draft 7, because that is what the YAML plugins of editors know.

/** JSON Schema of the proxy config, as files are written (defaults not filled in). */
export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(proxyConfigSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}

/** JSON Schema of the table file. */
export function tableJsonSchema(): JsonSchema {
  return z.toJSONSchema(tableSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}

/** JSON Schema of the control config, as files are written. */
export function controlConfigJsonSchema(): JsonSchema {
  return z.toJSONSchema(controlConfigSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}
