// Apart from what prints, which needs the YAML library: every role of the program loads the definitions of all flags.

import type { Flag } from "../command.ts";

/** How an answer is printed. */
export type OutputFormat = "table" | "json" | "yaml" | "name";

export const formats: readonly OutputFormat[] = ["table", "json", "yaml", "name"];

export const outputFlag: Flag = {
  flags: "-o, --output <format>",
  text: "how it is printed; name: the names alone, a line each",
  completes: formats,
};

export const jsonOutputFlag: Flag = {
  flags: "-o, --output <format>",
  text: "how it is printed",
  completes: ["table", "json", "yaml"],
};
