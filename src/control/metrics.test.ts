import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { parse } from "../telemetry/read-exposition.ts";
import { FeedStats } from "./feed/feed-stats.ts";
import { Sidecars } from "./feed/sidecars.ts";
import { sandboxResource, serviceResource } from "./fixture.ts";
import { ControlMetrics, controlMetricInfos } from "./metrics.ts";
import { ControlState } from "./state.ts";

const state = new ControlState();
const sidecars = new Sidecars("r1");
const feed = new FeedStats();
const metrics = new ControlMetrics({
  state,
  sidecars,
  feed,
  feedStatus: () => ({ scopes: 2, keptRevisions: 3, keptBytes: 400 }),
  machines: () => [
    { connected: true, connections: 3 },
    { connected: true, connections: 0 },
    { connected: false, connections: 1 },
  ],
});
afterEach(() => {
  metrics.close();
  sidecars.close();
});

test("everything that is counted is shown as it is told of", async () => {
  state.reset({ revision: 7, resources: [serviceResource("checkout"), sandboxResource("pr-7")] });
  state.reachable(true, "");
  metrics.committed("done");
  metrics.committed("again");
  metrics.apiRequest("GET", "/v1/sandboxes/{name}", 200);
  metrics.apiRequest("GET", "/v1/sandboxes/{name}", 200);
  Object.assign(feed, { streams: 5, wholeTables: 2, resumed: 3, applied: 9, refusedTables: 1, bytesSent: 1000 });
  const hello = { service: "checkout", sandbox: "", host: "", version: "", source: "", routes: true, probes: true };
  const member = { scope: { services: [], names: false }, revision: 0, ...hello };
  const stream = { wantedRevision: 7, ask() {}, replaced() {} };
  sidecars.join({ ...member, instance: "a" }, 7, stream);
  sidecars.join({ ...member, instance: "b" }, 6, stream);
  sidecars.join({ ...member, instance: "c" }, 7, stream).left(false);

  const families = parse(await metrics.scrape());
  const own = Object.keys(controlMetricInfos);
  expect([...families.keys()].filter((name) => name.startsWith("sidelane_control_"))).toEqual(own);
  const values = Object.fromEntries(
    own.flatMap((name) =>
      (families.get(name)?.lines ?? []).map(({ labels, value }) => [
        [name.slice("sidelane_control_".length), ...Object.values(labels)].join(" "),
        value,
      ]),
    ),
  ) as Record<string, number>;
  expect(values).toMatchObject({
    revision: 7,
    "resources service": 1,
    "resources sandbox": 1,
    "resources group": 0,
    store_reachable: 1,
    "commits_total done": 1,
    "commits_total again": 1,
    "commits_total refused": 0,
    "api_requests_total GET /v1/sandboxes/{name} 200": 2,
    streams: 5,
    "streams_ended_total slow": 0,
    "sidecars current": 1,
    "sidecars behind": 1,
    "sidecars disconnected": 1,
    "joins_total whole": 2,
    "joins_total resume": 3,
    sent_bytes_total: 1000,
    "applied_total applied": 8,
    "applied_total refused": 1,
    scopes: 2,
    history_revisions: 3,
    history_bytes: 400,
    "machines connected": 2,
    "machines lost": 1,
    machine_connections: 4,
  });
});

test("docs/metrics.md has each of them with type, labels and meaning", () => {
  const page = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const section = page.split(/^## /mu).find((part) => part.startsWith("The control plane\n")) ?? "";
  const rows = [...section.matchAll(/^\| (`sidelane.*) \|$/gmu)].map(([, row]) =>
    (row ?? "").split("|").map((cell) => cell.replaceAll("`", "").trim()),
  );
  const known = Object.entries(controlMetricInfos).map(([name, { type, labels, help }]) => [
    name,
    type,
    labels.join(" "),
    help,
  ]);
  expect(rows.map(([name, type, labels, , help]) => [name, type, labels, help])).toEqual(known);
});
