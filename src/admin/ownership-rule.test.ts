import { expect, test } from "vitest";
import { compile } from "../routing/compile.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import { documentOf, seed } from "../routing/fixture.ts";
import { RuleSubject } from "./ownership-rule.ts";

function tableOf(count: number, version: number): CompiledTable {
  const sandboxes = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`pr-${i}`, { services: { checkout: ["10.0.0.1:80"] } }]),
  );
  return new CompiledTable(compile(documentOf({ services: {}, sandboxes }), seed), version, `digest-${version}`);
}

test("others run while the rule of a large table is made", async () => {
  const table = tableOf(10_000, 1);
  const rule = new RuleSubject("checkout", "baseline");
  let turns = 0;
  const count = (): void => {
    turns++;
    immediate = setImmediate(count);
  };
  let immediate = setImmediate(count);
  await rule.make(table);
  clearImmediate(immediate);
  expect(turns).toBeGreaterThanOrEqual(9);
  const content = `{${rule.state?.content.toString() ?? ""}}`;
  expect((JSON.parse(content) as { keys: string[] }).keys).toHaveLength(10_000);
});

test("a service that the table does not have, and has later", async () => {
  const rule = new RuleSubject("checkout", "pr-7");
  await rule.make(tableOf(0, 1));
  expect(rule.state?.content.toString()).toBe(
    '"mode":"only","service":"checkout","instance":"pr-7","because":"the table has no service checkout, so that the baseline owns everything: check the spelling","keys":[]',
  );
  await rule.make(tableOf(8, 2));
  expect(rule.state?.content.toString()).toBe('"mode":"only","service":"checkout","instance":"pr-7","keys":["pr-7"]');
});

test("equal rules of several tables are one buffer", async () => {
  const rule = new RuleSubject("checkout", "pr-7");
  await rule.make(tableOf(8, 1));
  const first = rule.state;
  expect(first).toMatchObject({ table: 1, tableText: '{"version":1,"digest":"digest-1"}' });
  expect(first?.content.toString()).toBe('"mode":"only","service":"checkout","instance":"pr-7","keys":["pr-7"]');
  await rule.make(tableOf(9, 2));
  expect(rule.state?.table).toBe(2);
  expect(rule.state?.content).toBe(first?.content);
  await rule.make(tableOf(7, 3));
  expect(rule.state?.content.toString()).toMatch(/"keys":\[\]$/u);
});
