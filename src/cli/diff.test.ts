// `sidelane diff` on two files; against a control plane it runs in test/control/cli.test.ts.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { diffTables } from "../routing/diff-tables.ts";
import { shop } from "../routing/fixture.ts";
import { diffText } from "./diff.ts";

const main = join(import.meta.dirname, "..", "main.ts");

test("for people", async () => {
  const { "pr-9": _, ...sandboxes } = shop.sandboxes;
  const after = {
    services: {
      checkout: { ...shop.services["checkout"], hosts: ["checkout"], baseline: ["checkout-2:8080"] },
      ledger: { ...shop.services["ledger"] },
      cart: { baseline: ["cart:8080"] },
    },
    sandboxes: {
      ...sandboxes,
      "pr-8": { strict: true, services: { ledger: { http: ["10.0.0.9:8080"], grpc: ["10.0.0.9:9090"] } } },
    },
    groups: { "release-42": { sandboxes: ["pr-7", "pr-8"] } },
  };
  const text = diffText(diffTables(shop, after), "old.yaml", "new.yaml");
  await expect(text).toMatchFileSnapshot("__golden__/diff.txt");
  expect(diffText(diffTables(shop, shop), "a", "b")).toBe("a -> b: every request goes where it went\n");
});

test("exit codes, JSON, and what is wrong with a file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sidelane-diff-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const run = (...argv: string[]): Promise<{ code: number; out: string; err: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [main, "diff", ...argv], (error, out, err) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err });
      });
    });
  const old = file("old.yaml", "services: { a: { baseline: ['a:1'] } }\n");
  const same = file("same.yaml", "# otherwise written\nservices:\n  a:\n    hosts: [A]\n    baseline: ['a:1']\n");
  const other = file("other.yaml", "services: { a: { baseline: ['a:2'] } }\n");
  const wrong = file("wrong.yaml", "services: { a: { baselin: ['a:2'] } }\n");
  const [equal, different, refused, one, three] = await Promise.all([
    run(old, same),
    run(old, other, "-o", "json"),
    run(old, wrong),
    run(old),
    run(old, same, other),
  ]);
  expect(equal).toMatchObject({ code: 0, err: "" });
  expect(different.code).toBe(1);
  expect(JSON.parse(different.out)).toMatchObject({
    before: old,
    after: other,
    same: false,
    decisions: { count: 1, listed: [{ service: "a", before: { endpoints: ["a:1"] }, after: { endpoints: ["a:2"] } }] },
  });
  expect(refused).toMatchObject({ code: 1, out: "" });
  expect(refused.err).toMatch(/wrong\.yaml:1:\d+: .*baselin.*write baseline/u);
  expect([one.code, three.code]).toEqual([2, 2]);
});
