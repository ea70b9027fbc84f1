import { describe, expect, test } from "vitest";
import { projectFiles, readProjectFile, typeScriptFiles } from "./project.ts";
import { tidyProblems } from "./tidy.ts";

// The rules themselves have to spell out what they ban.
const files = typeScriptFiles().filter((file) => !file.startsWith("test/rules/tidy"));

describe("the sources", () => {
  test("are tidy", () => {
    expect(files.length).toBeGreaterThan(20);
    expect(files.flatMap((file) => tidyProblems(file, readProjectFile(file)))).toEqual([]);
  });

  test("every test file says that it expects something", () => {
    const silent = ["src", "test"]
      .flatMap((folder) => projectFiles(folder, ".test.ts"))
      .filter((file) => !/\b(?:expect|assert)\w*\(/.test(readProjectFile(file)));
    expect(silent).toEqual([]);
  });
});

describe("the rules see", () => {
  test.each([
    ["src/proxy/a.ts", `console.error("x");`, "src/base/log.ts"],
    ["src/table/a.ts", `queue.forEach(console.log);`, "src/base/log.ts"],
    ["src/base/a.ts", `new Function("return 1")();`, "generated functions"],
    ["bench/a.ts", `eval("1");`, "generated functions"],
    ["src/admin/a.ts", `process.exit(1);`, "process.exitCode"],
    ["src/config/a.ts", `const a = process.env["HOME"];`, "a parameter"],
    ["src/proxy/a.ts", `const a = Date.now();`, "coarse.nowMs"],
    ["src/proxy/upstream/a.ts", `const a = new Date();`, "coarse.nowMs"],
    ["src/routing/a.ts", `setTimeout(f, 1);`, "pure"],
    ["src/protocol/http1/a.ts", `performance.now();`, "pure"],
    ["src/table/a.ts", `readFileSync("x");`, "node:fs/promises"],
    ["src/base/a.test.ts", `test.only("x", () => {});`, "runs everywhere"],
    ["test/a.test.ts", `describe.skip("x", () => {});`, "runs everywhere"],
    ["test/a.test.ts", `test.skipIf(true)("x", () => {});`, "runs everywhere"],
    ["src/base/a.ts", `// TODO: later`, "file an issue"],
    ["src/base/a.ts", `// RFC 7230 says so`, "cite RFC 9110"],
    ["src/base/utils.ts", `const a = 1;`, "says nothing"],
    ["src/base/someThing.ts", `const a = 1;`, "lower case with hyphens"],
    ["src/base/a.ts", `const a = b[0]!;`, "without its reason"],
    ["src/base/a.ts", "\n".repeat(400) + "const a = 1;", "split it"],
  ])("in %s: %s", (file, source, instead) => {
    expect(tidyProblems(file, source)).toEqual([expect.stringContaining(instead)]);
  });
});

describe("the rules let pass", () => {
  test.each([
    ["src/cli/a.ts", `console.log(process.env["HOME"]); process.exit(2);`],
    ["src/main.ts", `process.exit(await run(process.argv));`],
    ["src/demo/services/a.ts", `process.exit(0);`],
    ["scripts/a.ts", `console.log(Date.now());`],
    ["src/telemetry/a.ts", `const a = Date.now();`],
    ["src/proxy/a.ts", `const a = performance.now(), b = new Date(0); setTimeout(f, 1);`],
    ["src/base/a.ts", "// `!`: the loop bound is the array's own length\nconst a = b[0]!;"],
    ["src/base/a.test.ts", `const a = b[0]!;`],
    ["src/base/a.ts", `// console.log, process.exit and Date.now in a comment\nconst a = "new Function";`],
    [
      "src/base/a.ts",
      "// A table. Long\n// because its rows explain each other.\n" + "\n".repeat(400) + "const a = 1;",
    ],
    ["test/a.test.ts", `test.each([1])("x %s", () => {}); stream.skip(1); list.only.x;`],
  ])("in %s: %s", (file, source) => {
    expect(tidyProblems(file, source)).toEqual([]);
  });
});
