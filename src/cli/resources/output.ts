import { stringify } from "yaml";
import { MisuseError } from "../command.ts";
import type { FlagValues } from "../command.ts";
import { formats } from "./output-flag.ts";
import type { OutputFormat } from "./output-flag.ts";
import type { ResourceView } from "../../client/resource-view.ts";

/** The format asked for; undefined where none was. */
export function readOutput(flags: FlagValues): OutputFormat | undefined {
  const { output } = flags;
  if (output === undefined) return undefined;
  const format = formats.find((one) => one === output);
  if (format === undefined)
    throw new MisuseError(`error: --output '${String(output)}' is none of ${formats.join(", ")}`);
  return format;
}

/** `one`: it was asked for by its name, so JSON has it alone and not in a list. The YAML is what `apply -f` reads. */
export function resourcesText(
  resources: readonly ResourceView[],
  format: Exclude<OutputFormat, "table">,
  one: boolean,
): string {
  if (format === "name") return resources.map(({ name }) => `${name}\n`).join("");
  return dataText(
    resources.map(({ whole }) => whole),
    format,
    one,
  );
}

/** Plain data as JSON, or as YAML with a document for each. */
export function dataText(values: readonly unknown[], format: "json" | "yaml", one: boolean): string {
  if (format === "json") return `${JSON.stringify(one && values.length === 1 ? values[0] : values, null, 2)}\n`;
  if (values.length === 0) return "";
  return values.map((value) => stringify(value, { lineWidth: 0 })).join("---\n");
}
