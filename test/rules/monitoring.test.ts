// Dashboard and alerts ask only for metrics that exist: a renamed one would leave an empty panel, or an alert that never fires.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Where roles declare their metrics; each has a test of its own that what is declared is exposed. */
const declared = ["src/telemetry", "src/control", "src/webhook", "src/operator"];

function known(): ReadonlySet<string> {
  const files = declared.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => /metric.*(?<!\.test)\.ts$/u.test(file))
      .map((file) => read(`${folder}/${file}`)),
  );
  const names = files.join("\n").matchAll(/^ {2}(sidelane_[a-z0-9_]+): \{/gmu);
  return new Set([...names].map(([, name = ""]) => name));
}

test.for(["deploy/grafana/sidelane.json", "deploy/prometheus/sidelane.rules.yaml"])("%s", (file) => {
  const names = known();
  const asked = read(file).match(/\bsidelane_[a-z0-9_]+/gu) ?? [];
  expect(asked.length).toBeGreaterThan(10);
  const unknown = asked.filter((name) => !names.has(name) && !names.has(name.replace(/_(?:bucket|sum|count)$/u, "")));
  expect([...new Set(unknown)]).toEqual([]);
});

test("each panel and each alert says what it shows", () => {
  const { panels } = JSON.parse(read("deploy/grafana/sidelane.json")) as {
    readonly panels: readonly { readonly id: number; readonly type: string; readonly description?: string }[];
  };
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  for (const { type, description = "" } of panels) if (type !== "row") expect(description).toMatch(/\.$/u);
  const alerts = read("deploy/prometheus/sidelane.rules.yaml").split("- alert: ").slice(1);
  for (const alert of alerts)
    expect(alert).toMatch(/severity: (?:info|warning|critical)[^]*summary: [^]*description: /u);
});
