// docs/metrics.md tells everything that can be scraped or read in a line, and nothing else.
import { readFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { type AccessLogEntry, accessLogLine } from "./access-log.ts";
import { metricInfos } from "./metric-infos.ts";
import { Telemetry } from "./metrics.ts";

const page = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
const telemetry = new Telemetry({ sandboxLabelsMax: 1 });
afterAll(() => telemetry.close());

/** Cells of the table rows under a heading. */
function rows(heading: string): string[][] {
  const section = page.split(/^#{2,3} /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^\| (`.*) \|$/gm)].map(([, row]) => (row ?? "").split("|").map((cell) => cell.trim()));
}

const bare = (cell: string | undefined): string => (cell ?? "").replaceAll("`", "");

test("each of Sidelane's metrics is documented with its type and labels, and no other", () => {
  const documented = rows("Sidelane's own").map(([name, type, labels]) => [bare(name), bare(type), bare(labels)]);
  const known = Object.entries(metricInfos).map(([name, { type, labels }]) => [name, type, labels.join(" ")]);
  expect(documented).toEqual(known);
});

test("each label is explained", () => {
  const labels = new Set(Object.values(metricInfos).flatMap((info) => [...info.labels]));
  expect(new Set(rows("Labels").map(([label]) => bare(label)))).toEqual(labels);
});

test("each process metric is documented", async () => {
  const documented = new Set(rows("The process").map(([name]) => bare(name)));
  expect((await telemetry.metricNames()).filter((name) => !(name in metricInfos) && !documented.has(name))).toEqual([]);
});

test("queries ask for metrics and labels that exist", async () => {
  const queries = [...page.matchAll(/```promql\n([\s\S]*?)```/g)].map(([, query]) => query ?? "");
  const known = new Set(await telemetry.metricNames());
  const asked = queries.flatMap((query) => [...query.matchAll(/sidelane_\w+/g)].map(([name]) => name));
  expect(asked.filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|sum|count)$/, "")))).toEqual([]);
  const matched = queries.flatMap((query) => [...query.matchAll(/[{,](\w+)(?:=|!)/g)].map(([, label]) => label));
  const labels = new Set<string | undefined>(Object.values(metricInfos).flatMap((info) => [...info.labels]));
  expect(matched.filter((label) => !labels.has(label))).toEqual([]);
});

test("each field of the access log is documented, in order", () => {
  const entry: AccessLogEntry = {
    listener: "",
    direction: "inbound",
    client: "",
    method: "",
    host: "",
    path: "",
    protocol: "",
    service: "",
    key: "",
    destination: "",
    reason: "no-key",
    status: 200,
    grpcStatus: 0,
    endpoint: "",
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 0,
    connectMs: 0,
    traceId: "",
    userAgent: "",
  };
  const fields = Object.entries(JSON.parse(accessLogLine(entry, 0)) as object).map(([field, value]) => [
    field,
    typeof value === "number" ? "number" : "text",
  ]);
  expect(rows("Access log").map(([field, type]) => [bare(field), type])).toEqual(fields);
});
