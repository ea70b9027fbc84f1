// docs/kubernetes-operator.md tells every metric and every reason, and no other.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { operatorMetricInfos, OperatorMetrics } from "./metrics.ts";
import { sandboxReasons } from "./sandbox/findings.ts";

const page = readFileSync(new URL("../../docs/kubernetes-operator.md", import.meta.url), "utf8");

/** First cells, without quotes, of the rows under a heading. */
function rows(heading: string): readonly (readonly string[])[] {
  const section = page.split(/^## /mu).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  return [...section.matchAll(/^\| (`.*) \|$/gmu)].map(([, row = ""]) =>
    row.split("|").map((cell) => cell.trim().replaceAll("`", "")),
  );
}

test("every reason", () => {
  expect(rows("Conditions of a Sandbox").map((cells) => cells.slice(0, 2))).toEqual(Object.entries(sandboxReasons));
});

test("every metric, which is there when it is scraped", async () => {
  const known = Object.entries(operatorMetricInfos).map(([name, { type, labels }]) => [name, type, labels.join(" ")]);
  expect(rows("Metrics").map((cells) => cells.slice(0, 3))).toEqual(known);
  const metrics = new OperatorMetrics({
    queues: () => undefined,
    isLeader: () => true,
    podsWithoutSidecar: () => new Map([["shop", 2]]),
    sandboxes: () => new Map([["True", 3]]),
  });
  metrics.reconciled("sandboxes", 12, true);
  const text = await metrics.scrape();
  for (const [name] of known) expect(text).toContain(`# TYPE ${name} `);
  expect(text).toContain('sidelane_operator_reconciles_total{queue="sandboxes",result="failed"} 1');
  expect(text).toContain('sidelane_operator_pods_without_sidecar{namespace="shop"} 2');
  metrics.close();
});
