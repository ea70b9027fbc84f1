import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { importsOf, isBarrel } from "./imports.ts";
import { cycles, layerProblem } from "./layers.ts";
import { projectFiles, projectRoot, readProjectFile } from "./project.ts";

const files = projectFiles("src", ".ts");
const isTest = (file: string): boolean => file.endsWith(".test.ts");
const imports = files.flatMap((file) => importsOf(file, readProjectFile(file)));
// A test may import vitest, node: modules and helpers; what it imports of src/ obeys the layers like everything else.
const productImports = imports.filter((one) => !isTest(one.file));
const testImports = imports.filter((one) => isTest(one.file) && one.target.startsWith("src/"));

describe("the sources", () => {
  test("there are some, with imports", () => {
    expect(files.length).toBeGreaterThan(5);
    expect(imports.length).toBeGreaterThan(5);
  });

  test("arrows point down only, and the pure layers stay pure", () => {
    expect([...productImports, ...testImports].map(layerProblem).filter((problem) => problem !== undefined)).toEqual(
      [],
    );
  });

  test("no cycles", () => {
    expect(cycles(productImports).map((cycle) => cycle.join(" -> "))).toEqual([]);
  });

  test("no barrel files", () => {
    expect(files.filter((file) => isBarrel(readProjectFile(file)))).toEqual([]);
  });

  test("every relative import names a file that exists, with its extension", () => {
    const broken = imports.filter(({ target }) => target !== "" && !existsSync(join(projectRoot, target)));
    expect(broken.map((one) => `${one.file}:${one.line} ${one.specifier}`)).toEqual([]);
  });

  test("production code imports no development dependency and no test", () => {
    const manifest = JSON.parse(readProjectFile("package.json")) as { dependencies: Record<string, string> };
    const allowed = (specifier: string): boolean => {
      if (specifier.startsWith(".") || specifier.startsWith("node:")) return true;
      const [scope = "", name = ""] = specifier.split("/");
      return (scope.startsWith("@") ? `${scope}/${name}` : scope) in manifest.dependencies;
    };
    const wrong = productImports.filter((one) => !allowed(one.specifier) || isTest(one.target));
    expect(wrong.map((one) => `${one.file}:${one.line} ${one.specifier}`)).toEqual([]);
  });
});

describe("the rules see a violation", () => {
  const problemsOf = (file: string, source: string): string[] =>
    importsOf(file, source).flatMap((one) => layerProblem(one) ?? []);

  test.each([
    ["upwards", "src/routing/a.ts", `import { b } from "../proxy/b.ts";`, "proxy lies above routing"],
    ["upwards, type only", "src/base/a.ts", `import type { B } from "../config/b.ts";`, "config lies above base"],
    ["upwards, in a type", "src/base/a.ts", `type B = import("../cli/b.ts").B;`, "cli lies above base"],
    ["upwards, dynamic", "src/table/a.ts", `await import("../admin/b.ts");`, "admin lies above table"],
    ["upwards, re-export", "src/base/a.ts", `export { b } from "../routing/b.ts";`, "routing lies above base"],
    ["upwards, star", "src/base/a.ts", `export * from "../routing/b.ts";`, "routing lies above base"],
    ["a worker above", "src/table/a.ts", `new URL("../cli/b.ts", import.meta.url);`, "cli lies above table"],
    ["sideways", "src/proxy/a.ts", `import { b } from "../table/b.ts";`, "never see each other"],
    ["sideways in Kubernetes", "src/operator/a.ts", `import { b } from "../webhook/b.ts";`, "move what is shared down"],
    ["the other way", "src/table/a.ts", `import { b } from "../proxy/b.ts";`, "never see each other"],
    ["out of src", "src/cli/a.ts", `import { b } from "../../test/b.ts";`, "nothing outside src/"],
    ["into bench", "src/cli/a.ts", `import { b } from "../../bench/b.ts";`, "nothing outside src/"],
    ["an unknown layer", "src/utils/a.ts", `import { b } from "../base/b.ts";`, "is no layer"],
    ["a socket in routing", "src/routing/a.ts", `import { connect } from "node:net";`, "routing is pure"],
    [
      "a clock in protocol",
      "src/protocol/h/a.ts",
      `import { performance } from "node:perf_hooks";`,
      "protocol is pure",
    ],
    ["node:http in proxy", "src/proxy/a.ts", `import type { Server } from "node:http";`, "on node:net and bytes"],
    ["undici in proxy", "src/proxy/b/a.ts", `import { Pool } from "undici";`, "on node:net and bytes"],
  ])("%s", (_name, file, source, expected) => {
    expect(problemsOf(file, source)).toEqual([expect.stringContaining(expected)]);
  });

  test.each([
    ["down", "src/proxy/a.ts", `import { b } from "../routing/b.ts";`],
    ["within a layer", "src/proxy/a.ts", `import { b } from "./upstream/b.ts";`],
    ["the same layer, one folder up", "src/proxy/upstream/a.ts", `import { b } from "../b.ts";`],
    ["main to everything", "src/main.ts", `import { b } from "./cli/b.ts"; import { c } from "./base/c.ts";`],
    ["node:net in proxy", "src/proxy/a.ts", `import { connect } from "node:net";`],
    ["node:http in admin", "src/admin/a.ts", `import { createServer } from "node:http";`],
    ["a comment and a string", "src/base/a.ts", `// import "../cli/b.ts"\nconst a = 'from "../cli/b.ts"';`],
  ])("and lets pass: %s", (_name, file, source) => {
    expect(problemsOf(file, source)).toEqual([]);
  });

  test("a cycle over three files", () => {
    const found = cycles([
      ...importsOf("src/base/a.ts", `import { b } from "./b.ts";`),
      ...importsOf("src/base/b.ts", `await import("./c.ts");`),
      ...importsOf("src/base/c.ts", `export { a } from "./a.ts";`),
    ]);
    expect(found).toEqual([["src/base/a.ts", "src/base/b.ts", "src/base/c.ts", "src/base/a.ts"]]);
  });

  test("two files that only name each other's types are no cycle", () => {
    const found = cycles([
      ...importsOf("src/base/a.ts", `import type { B } from "./b.ts"; import { type C } from "./c.ts";`),
      ...importsOf("src/base/b.ts", `import { a } from "./a.ts";`),
      ...importsOf("src/base/c.ts", `import { a } from "./a.ts";`),
    ]);
    expect(found).toEqual([]);
  });

  test("two ways to one file are no cycle", () => {
    const found = cycles([
      ...importsOf("src/base/a.ts", `import { b } from "./b.ts"; import { c } from "./c.ts";`),
      ...importsOf("src/base/b.ts", `import { c } from "./c.ts";`),
    ]);
    expect(found).toEqual([]);
  });

  test.each([
    ["a barrel", `export * from "./a.ts";\nexport { b } from "./b.ts";`, true],
    ["a module that also says something", `export * from "./a.ts";\nexport const b = 1;`, false],
    ["an empty one", `// nothing yet`, false],
  ])("%s", (_name, source, expected) => {
    expect(isBarrel(source)).toBe(expected);
  });
});
