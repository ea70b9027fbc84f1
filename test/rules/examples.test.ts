import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isMap, parseDocument } from "yaml";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadControlConfig } from "../../src/config/load-control-config.ts";
import { loadTable } from "../../src/config/load-table.ts";
import { readSpec } from "../../src/control/resources/spec-shape.ts";
import { readResources } from "../../src/cli/resources/resource-file.ts";
import { fencedBlocks } from "./markdown.ts";
import { projectFiles, projectRoot, readProjectFile } from "./project.ts";

describe("what deploy/ shows is what the program accepts", () => {
  test("sidelane.yaml", () => {
    const file = join(projectRoot, "deploy/sidelane.yaml");
    const loaded = loadConfig(readProjectFile("deploy/sidelane.yaml"), file, {});
    expect(loaded).toMatchObject({ ok: true, warnings: [] });
  });

  test("routes.yaml", () => {
    const loaded = loadTable(readProjectFile("deploy/routes.yaml"), "deploy/routes.yaml");
    expect(loaded).toMatchObject({ ok: true, warnings: [] });
  });
});

// A block with all that is required of a config, or with services, is a whole file; everything else is a part of one.
describe("whole configs and tables in the pages", () => {
  const blocks = projectFiles(".", ".md").flatMap((page) =>
    fencedBlocks(readProjectFile(page), "yaml").map(({ line, text }) => ({
      at: `${page}:${line}`,
      text,
      keys: keysOf(text),
    })),
  );
  const configs = blocks.filter(({ keys }) => ["service", "listeners", "table"].every((key) => keys.includes(key)));
  // What has an apiVersion is for Kubernetes; the suites with a real API server read it (test/tools/crds.tools.ts).
  const resources = blocks.filter(({ keys }) => keys.includes("kind") && !keys.includes("apiVersion"));
  const controls = blocks.filter(({ keys }) => keys.includes("store"));
  const tables = blocks.filter(({ keys }) => keys.includes("services") && !keys.includes("kind"));

  test("there are some", () => {
    expect(configs.length).toBeGreaterThan(3);
    expect(tables.length).toBeGreaterThan(3);
    expect(controls.length).toBeGreaterThan(1);
  });

  test.each(configs)("the config at $at", ({ text }) => {
    expect(loadConfig(text, join(projectRoot, "sidelane.yaml"), {})).toMatchObject({ ok: true, warnings: [] });
  });

  test.each(resources)("the resources at $at", ({ text }) => {
    const { resources: read, problems } = readResources(text, "pr-7.yaml", {});
    expect(problems).toEqual([]);
    for (const { kind, spec } of read) expect(readSpec(kind, spec)).toMatchObject({ ok: true });
  });

  // Warnings about open addresses are what an example is about at times.
  test.each(controls)("the control config at $at", ({ text }) => {
    expect(loadControlConfig(text, join(projectRoot, "control.yaml"), {})).toMatchObject({ ok: true });
  });

  test.each(tables)("the table at $at", ({ text }) => {
    expect(loadTable(text, "routes.yaml")).toMatchObject({ ok: true, warnings: [] });
  });
});

/** Without resolving aliases: a part of a file may have those of another part. */
function keysOf(yaml: string): readonly string[] {
  const { contents } = parseDocument(yaml);
  return isMap(contents) ? contents.items.map(({ key }) => String(key)) : [];
}
