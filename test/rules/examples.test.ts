import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadTable } from "../../src/config/load-table.ts";
import { projectRoot, readProjectFile } from "./project.ts";

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
