import type { Problem } from "./problem.ts";

/** What a YAML file is for. */
export type FileKind = "table" | "config";

const CONFIG_FIELDS = ["listeners", "table", "tenancy", "admin", "workers", "limits", "timeouts", "log", "accessLog"];
/** One letter away from a table's fields: only with a name behind them are they the config's. */
const CONFIG_NAMES = ["service", "sandbox"];
const TABLE_FIELDS = ["services", "sandboxes", "groups"];

/** Which of the two a document is by its top-level fields, none of which both have; undefined when they do not tell. */
export function fileKind(value: unknown): FileKind | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const count = (names: readonly string[], counts: (field: unknown) => boolean = () => true): number =>
    names.filter((name) => Object.hasOwn(fields, name) && counts(fields[name])).length;
  const ofConfig = count(CONFIG_FIELDS) + count(CONFIG_NAMES, (field) => typeof field === "string");
  const ofTable = count(TABLE_FIELDS);
  if (ofConfig === ofTable) return undefined;
  return ofConfig > ofTable ? "config" : "table";
}

/** The one problem of a file that was given in the place of the other kind; its field by field errors would say less. */
export function mistakenFile(value: unknown, wanted: FileKind, file: string): Problem | undefined {
  const kind = fileKind(value);
  if (kind === undefined || kind === wanted) return undefined;
  const [is, not] = kind === "table" ? [names.table, names.config] : [names.config, names.table];
  return { file, line: 1, column: 1, message: `this is a ${is}, not a ${not}`, hint: `name the ${not}` };
}

const names: Readonly<Record<FileKind, string>> = { table: "routing table", config: "proxy config" };
