// Dashboard and alerts ask only for metrics and labels that exist: a renamed one would leave an empty panel, or an alert that never
// fires. That they are PromQL at all says `promtool check rules`, by hand.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Where roles declare their metrics; each has a test of its own that what is declared is exposed. */
const declared = ["src/telemetry", "src/control", "src/webhook", "src/operator"];

/** Labels by metric. */
const known = new Map<string, readonly string[]>();
for (const folder of declared) {
  for (const file of readdirSync(join(root, folder))) {
    if (!/metric.*(?<!\.test)\.ts$/u.test(file)) continue;
    const exported = (await import(join(root, folder, file))) as Readonly<Record<string, unknown>>;
    for (const infos of Object.values(exported)) {
      for (const [name, info] of Object.entries(infos ?? {}))
        if (name.startsWith("sidelane_")) known.set(name, (info as { readonly labels: readonly string[] }).labels);
    }
  }
}

/** What Prometheus adds itself, by the scrape annotations' usual rules and by our PodMonitors; `le` is a histogram's. */
const added = ["pod", "namespace", "instance", "job", "node", "container", "app_kubernetes_io_component", "le"];

interface Expression {
  readonly at: string;
  readonly text: string;
  /** Sentences with `$labels.x`. */
  readonly said: string;
}

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title?: string;
  readonly description?: string;
  readonly targets?: readonly { readonly expr?: string; readonly legendFormat?: string }[];
  readonly panels?: readonly Panel[];
}

const board = JSON.parse(read("deploy/grafana/sidelane.json")) as {
  readonly panels: readonly Panel[];
  readonly templating?: { readonly list: readonly { readonly name: string; readonly query?: unknown }[] };
};
const { groups } = parse(read("deploy/prometheus/sidelane.rules.yaml")) as {
  readonly groups: readonly { readonly rules: readonly Alert[] }[];
};
const alerts = groups.flatMap(({ rules }) => rules);
const panels = board.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);

const expressions: readonly Expression[] = [
  ...alerts.map(({ alert, expr, annotations }) => ({ at: alert, text: expr, said: JSON.stringify(annotations) })),
  ...panels.flatMap(({ title = "", targets = [] }) =>
    targets.map(({ expr = "", legendFormat = "" }) => ({
      at: title,
      text: expr,
      said: legendFormat.replaceAll(/\{\{\s*(\w+)\s*\}\}/gu, "$labels.$1"),
    })),
  ),
];

const infoOf = (metric: string): readonly string[] | undefined =>
  known.get(metric) ?? known.get(metric.replace(/_(?:bucket|sum|count)$/u, ""));

test("there are metrics, alerts and panels", () => {
  expect(known.size).toBeGreaterThan(40);
  expect(alerts.length).toBeGreaterThan(10);
  expect(expressions.length).toBeGreaterThan(30);
});

test.for(["deploy/grafana/sidelane.json", "deploy/prometheus/sidelane.rules.yaml"])("metrics of %s", (file) => {
  const asked = read(file).match(/\bsidelane_[a-z0-9_]+/gu) ?? [];
  expect(asked.length).toBeGreaterThan(10);
  expect([...new Set(asked.filter((name) => infoOf(name) === undefined))]).toEqual([]);
});

test("labels", () => {
  const wrong: string[] = [];
  for (const { at, text, said } of expressions) {
    const complain = (label: string, of: string): unknown => wrong.push(`${at}: ${of} has no label ${label}`);
    const all = new Set(added);
    for (const [, metric = "", selector = ""] of text.matchAll(/\b(sidelane_[a-z0-9_]+)(?:\{([^}]*)\})?/gu)) {
      const labels = infoOf(metric) ?? [];
      for (const label of labels) all.add(label);
      for (const [, label = ""] of selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/gu))
        if (!labels.includes(label) && !added.includes(label)) complain(label, metric);
    }
    const grouped = [...text.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/gu)].flatMap(([, list = ""]) =>
      list.split(",").map((label) => label.trim()),
    );
    for (const label of grouped) if (!all.has(label)) complain(label, "the expression");
    // What is left after sums has only the labels that these name; a `by` in one part is enough for us.
    const left = grouped.length > 0 ? new Set(grouped) : all;
    for (const [, label = ""] of said.matchAll(/\$labels\.(\w+)/gu))
      if (!left.has(label)) complain(label, "what is left");
  }
  expect(wrong).toEqual([]);
});

test("variables of the dashboard ask for labels that exist", () => {
  const queries = JSON.stringify(board.templating ?? {});
  const asked = [...queries.matchAll(/label_values\(\s*(sidelane_[a-z0-9_]+)[^,]*,\s*(\w+)\s*\)/gu)];
  for (const [, metric = "", label = ""] of asked)
    expect([...(infoOf(metric) ?? []), ...added], `${metric} of a variable`).toContain(label);
});

test("each panel and each alert says what it shows", () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { type, description = "" } of panels) if (type !== "row") expect(description).toMatch(/\.$/u);
  const texts = read("deploy/prometheus/sidelane.rules.yaml").split("- alert: ").slice(1);
  for (const alert of texts)
    expect(alert).toMatch(/severity: (?:info|warning|critical)[^]*summary: [^]*description: /u);
});
