import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { fieldNames, scalarFields, schemaAt } from "./schema-fields.ts";
import { configJsonSchema, tableJsonSchema } from "./json-schema.ts";

const golden = (name: string): unknown => parse(readFileSync(new URL(`golden/${name}.yaml`, import.meta.url), "utf8"));

const config = {
  service: "checkout",
  listeners: [{ direction: "inbound", address: "0.0.0.0:15006", target: "127.0.0.1:8080", protocol: "http2" }],
  table: { file: "./routes.yaml" },
  tenancy: { carriers: [{ baggage: "sidelane" }, { header: "x-sandbox" }] },
  limits: { headBytesMax: 8192 },
};

const table = {
  services: { checkout: null, ledger: { ports: { http: 8080 }, baseline: { http: ["ledger:8080"] } } },
  sandboxes: { "pr-7": { key: "k", services: { checkout: ["10.0.0.7:8080"] } } },
  groups: null,
};

describe("JSON Schemas", () => {
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true });
  const validConfig = ajv.compile(configJsonSchema());
  const validTable = ajv.compile(tableJsonSchema());

  test("accept what Sidelane accepts", () => {
    expect(validConfig(config), JSON.stringify(validConfig.errors)).toBe(true);
    expect(validTable(table), JSON.stringify(validTable.errors)).toBe(true);
    expect(validTable(golden("table-warnings")), JSON.stringify(validTable.errors)).toBe(true);
  });

  test("refuse wrong shapes and unknown fields", () => {
    expect(validConfig(golden("config-shapes"))).toBe(false);
    expect(validTable(golden("table-shapes"))).toBe(false);
    expect(validConfig({ ...config, listner: 1 })).toBe(false);
    expect(validTable({ ...table, sandboxes: { "pr-7": {} } })).toBe(false);
  });

  test("describe every field", () => {
    for (const field of scalarFields(configJsonSchema())) {
      expect(field.schema.description, field.path.join(".")).toMatch(/\S{3}/u);
    }
  });
});

describe("schema walks", () => {
  test("through lists, maps with any name, and alternatives", () => {
    expect(schemaAt(configJsonSchema(), ["listeners", 3, "address"])?.type).toBe("string");
    expect(schemaAt(tableJsonSchema(), ["sandboxes", "pr-7", "services", "a", "http", 0])?.type).toBe("string");
    expect(schemaAt(tableJsonSchema(), ["sandboxes", "pr-7", "nothing"])).toBeUndefined();
    expect(fieldNames(schemaAt(tableJsonSchema(), ["services", "a"]))).toEqual(["hosts", "ports", "baseline"]);
    expect(fieldNames(undefined)).toEqual([]);
  });
});

test("schemas and generated pages are up to date: node scripts/generate.ts", async () => {
  const script = new URL("../../scripts/generate.ts", import.meta.url).pathname;
  await expect(promisify(execFile)(process.execPath, [script, "--check"])).resolves.toEqual({ stdout: "", stderr: "" });
});
