import type { Problem } from "./problem.ts";

/** What a YAML file is for. */
export type FileKind = "table" | "config" | "control" | "webhook" | "operator";

/** Fields at the top that tell files of one kind from the others; those of two tell them from the rest. */
const OWN_FIELDS: Readonly<Record<FileKind, readonly string[]>> = {
  table: ["services", "sandboxes", "groups"],
  config: ["listeners", "table", "tenancy", "upstreamTls", "admin", "ownership", "spans", "workers", "accessLog"],
  control: ["store", "etcd", "api", "feed", "advertise", "auth", "connect"],
  webhook: ["sidecar", "address", "tls", "kubeconfig", "admin", "namespace"],
  operator: ["control", "certificates", "clusterDomain", "admin", "namespace"],
};
const KINDS = ["table", "config", "control", "webhook", "operator"] as const satisfies readonly FileKind[];
/** One letter away from a table's fields: only with a name behind them are they the config's. */
const CONFIG_NAMES = ["service", "sandbox"];
/** Fields of several kinds of config: with nothing else beside them it is the proxy's. */
const SHARED_FIELDS = ["limits", "timeouts", "log", "admin"];

/** What a document is for by its top-level fields; undefined when they do not tell. */
export function fileKind(value: unknown): FileKind | undefined {
  return ownKind(value) ?? (has(value, SHARED_FIELDS) > has(value, OWN_FIELDS.table) ? "config" : undefined);
}

/** The one problem of a file that was given in the place of another kind; its field by field errors would say less. */
export function mistakenFile(value: unknown, wanted: FileKind, file: string): Problem | undefined {
  const kind = wanted === "table" || wanted === "config" ? fileKind(value) : ownKind(value);
  if (kind === undefined || kind === wanted) return undefined;
  const [is, not] = [names[kind], names[wanted]];
  return { file, line: 1, column: 1, message: `this is a ${is}, not a ${not}`, hint: `name the ${not}` };
}

const names: Readonly<Record<FileKind, string>> = {
  table: "routing table",
  config: "proxy config",
  control: "control config",
  webhook: "webhook config",
  operator: "operator config",
};

/** The kind of which it has the most fields. */
function ownKind(value: unknown): FileKind | undefined {
  const texts = has(value, CONFIG_NAMES, (field) => typeof field === "string");
  const count = (kind: FileKind): number => has(value, OWN_FIELDS[kind]) + (kind === "config" ? texts : 0);
  const [first, second] = KINDS.map((kind) => ({ kind, count: count(kind) })).toSorted((a, b) => b.count - a.count);
  return first === undefined || first.count === second?.count ? undefined : first.kind;
}

function has(value: unknown, names: readonly string[], counts: (field: unknown) => boolean = () => true): number {
  if (typeof value !== "object" || value === null) return 0;
  const fields = value as Readonly<Record<string, unknown>>;
  return names.filter((name) => Object.hasOwn(fields, name) && counts(fields[name])).length;
}
