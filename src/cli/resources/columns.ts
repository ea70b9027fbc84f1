// What `list` shows of each kind, and `get` of one.

import { printable } from "../../base/printable.ts";
import { styleText } from "node:util";
import type { Condition } from "../../control/api/backend.ts";
import type { Kind } from "../../control/resource.ts";
import { shortDuration } from "../duration.ts";
import type { ResourceView } from "../../client/resource-view.ts";
import { isMap } from "../../base/is-map.ts";
import { tableText } from "./table-text.ts";

type Columns = readonly (readonly [heading: string, cell: (resource: ResourceView, nowMs: number) => string])[];

const key = (resource: ResourceView): string => text(resource.spec["key"]) || resource.name;
const owner = (resource: ResourceView): string => text(resource.spec["owner"]) || "-";
const age = ({ createdAt }: ResourceView, nowMs: number): string =>
  createdAt === "" ? "-" : shortDuration(nowMs - Date.parse(createdAt));

const columns: Readonly<Record<Kind, Columns>> = {
  sandbox: [
    ["NAME", ({ name }) => name],
    ["KEY", key],
    ["SERVICES", (one) => servicesOf(one).join(", ") || "none"],
    ["OWNER", owner],
    ["AGE", age],
    ["EXPIRES", expiresText],
    ["READY", readyText],
  ],
  group: [
    ["NAME", ({ name }) => name],
    ["KEY", key],
    ["SANDBOXES", (one) => membersText(one)],
    ["OWNER", owner],
    ["AGE", age],
  ],
  service: [
    ["NAME", ({ name }) => name],
    ["HOSTS", ({ name, spec }) => list(spec["hosts"]).join(", ") || name],
    ["BASELINE", ({ spec }) => endpointsText(spec["baseline"]) || "none declared"],
    ["OWNER", owner],
    ["AGE", age],
  ],
};

/** All of a list, for the terminal. */
export function listText(kind: Kind, resources: readonly ResourceView[], nowMs: number): string {
  const own = columns[kind];
  return tableText(
    own.map(([heading]) => heading),
    resources.map((resource) => own.map(([, cell]) => cell(resource, nowMs))),
  );
}

/** One resource, for the terminal: its fields, then what the control plane says of it, in sentences. */
export function resourceText(resource: ResourceView, nowMs: number): string {
  const { kind, name, version, spec, whole, status } = resource;
  const strong = (part: string): string => styleText("bold", part, { stream: process.stdout });
  const by = (field: string): string => (text(whole[field]) === "" ? "" : ` by ${text(whole[field])}`);
  const ago = (at: unknown): string => (text(at) === "" ? "-" : `${shortDuration(nowMs - Date.parse(text(at)))} ago`);
  const rows: [string, string][] = [];
  if (kind !== "service") rows.push(["key", key(resource)]);
  if (spec["strict"] === true) rows.push(["strict", "yes: what it has, it answers, or nobody"]);
  if (kind === "group") rows.push(["sandboxes", membersText(resource)]);
  if (kind === "service") {
    rows.push(["hosts", list(spec["hosts"]).join(", ") || name]);
    if (isMap(spec["ports"])) rows.push(["ports", mapText(spec["ports"])]);
    rows.push(["baseline", endpointsText(spec["baseline"]) || "none declared"]);
    if (isMap(spec["probe"])) rows.push(["probe", mapText(spec["probe"])]);
  }
  for (const [index, service] of servicesOf(resource).entries()) {
    rows.push([index === 0 ? "services" : "", `${service}: ${serviceText(resource, service)}`]);
  }
  rows.push(["owner", owner(resource)]);
  if (text(spec["description"]) !== "") rows.push(["about", text(spec["description"])]);
  if (isMap(spec["labels"]) && Object.keys(spec["labels"]).length > 0) rows.push(["labels", mapText(spec["labels"])]);
  if (typeof spec["ttl"] === "string") {
    const from = spec["ttlFrom"] === "traffic" ? "the last request" : "its creation";
    rows.push(["expires", `${expiresText(resource, nowMs)} (${spec["ttl"]} from ${from})`]);
  }
  if (status?.lastTrafficAt !== undefined) rows.push(["traffic", `last ${ago(status.lastTrafficAt)}`]);
  rows.push(["created", `${ago(whole["createdAt"])}${by("createdBy")}`]);
  if (whole["updatedAt"] !== whole["createdAt"]) rows.push(["updated", `${ago(whole["updatedAt"])}${by("updatedBy")}`]);
  rows.push(["version", String(version)]);
  const lines = rows.map(([label, value]) => `  ${label.padEnd(10)}${printable(value)}`);
  return [strong(`${kind} ${printable(name)}`), ...lines, ...conditionLines(status?.conditions ?? [], nowMs), ""].join(
    "\n",
  );
}

function conditionLines(conditions: readonly Condition[], nowMs: number): readonly string[] {
  if (conditions.length === 0) return [];
  const width = Math.max(...conditions.map(({ type }) => type.length));
  const words = { true: "yes", false: "no", unknown: "not known" } as const;
  const others = conditions.filter(({ type }) => type !== "Ready").map(({ message }) => message);
  return [
    "",
    ...conditions.map(({ type, status, message: whole, since }) => {
      // What keeps it from being ready stands in the lines below, once.
      const isSummary = type === "Ready" && status !== "true" && others.some((other) => whole.includes(other));
      const message = isSummary ? "see below" : whole;
      const word = (words[status] ?? "not known").padEnd(9);
      const painted =
        type === "Expiring"
          ? word
          : styleText(status === "true" ? "green" : "yellow", word, { stream: process.stdout });
      const age = Number.isNaN(Date.parse(since)) ? "" : ` (for ${shortDuration(nowMs - Date.parse(since))})`;
      return `  ${printable(type).padEnd(width)}  ${painted}  ${printable(message)}${age}`;
    }),
  ];
}

function serviceText({ spec, whole }: ResourceView, service: string): string {
  const connected = isMap(whole["connected"]) ? whole["connected"][service] : undefined;
  const own = endpointsText(isMap(spec["services"]) ? spec["services"][service] : undefined);
  if (!isMap(connected)) return own;
  const where = [text(connected["machine"]), text(connected["by"])].filter(Boolean).join(" of ");
  return `connected to ${where || "somebody's machine"}${own === "" ? "" : `, otherwise ${own}`}`;
}

/** Those of the spec and those that somebody's machine answers for. */
function servicesOf({ kind, spec, whole }: ResourceView): readonly string[] {
  if (kind !== "sandbox") return [];
  const names = [spec["services"], whole["connected"]].flatMap((map) => (isMap(map) ? Object.keys(map) : []));
  return [...new Set(names)];
}

function membersText({ spec, whole, status }: ResourceView): string {
  const known = list(whole["members"] ?? (status as { readonly members?: unknown } | undefined)?.members);
  if (!isMap(spec["match"])) return list(spec["sandboxes"]).join(", ");
  const { all, any } = spec["match"];
  const parts = [isMap(all) ? mapText(all) : "", isMap(any) ? `any of ${mapText(any)}` : ""].filter(Boolean);
  return `${known.join(", ") || "none"} (by label: ${parts.join(", and ")})`;
}

function expiresText({ status }: ResourceView, nowMs: number): string {
  const at = status?.expiresAt;
  if (at === undefined) return "never";
  const leftMs = Date.parse(at) - nowMs;
  if (leftMs <= 0) return "now";
  const soon = status?.conditions.some(({ type, status: is }) => type === "Expiring" && is === "true") === true;
  return `in ${shortDuration(leftMs)}${soon ? ", soon" : ""}`;
}

function readyText({ status }: ResourceView): string {
  const ready = status?.conditions.find(({ type }) => type === "Ready");
  if (ready === undefined || ready.status === "unknown") return "not known";
  return ready.status === "true" ? "yes" : `no: ${ready.reason}`;
}

/** `a:1, b:1`, or `http a:1; grpc a:2`. */
function endpointsText(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(", ");
  if (!isMap(value)) return "";
  return Object.entries(value)
    .map(([port, endpoints]) => `${port} ${list(endpoints).join(", ")}`)
    .join("; ");
}

function mapText(map: Readonly<Record<string, unknown>>): string {
  return Object.entries(map)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? list(value).join("|") : text(value)}`)
    .join(", ");
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
