import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv } from "ajv";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { operatorConfigJsonSchema } from "../config/operator-config.ts";
import { check } from "./check.ts";

// The configs of webhook and operator: `check` knows them by their fields, whatever the file is called.

async function checked(text: string): Promise<readonly [code: number, lines: string]> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-check-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "some.yaml");
  await writeFile(file, text);
  let lines = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    lines += String(chunk);
    return true;
  });
  const code = await check([file]);
  write.mockRestore();
  return [code, lines.replaceAll(`${folder}/`, "")];
}

describe("a webhook config", () => {
  test.each([
    "sidecar: { image: x:1 }\n",
    "admin: { address: 127.0.0.1:0 }\nnamespace: sidelane\nlog: { level: debug }\nsidecar: { image: x:1 }\n",
    "address: 0.0.0.0:15443\ntls: { certificate: a, key: b }\nadmin: {}\nsidecar: { image: x:1 }\nlimits: {}\n",
  ])("%j is known as one", async (text) => {
    expect(await checked(text)).toEqual([0, "some.yaml: webhook config, sidecar x:1: good\n"]);
  });

  test("is told what is wrong, where, and what to write instead", async () => {
    expect(await checked("sidecar: { image: x, cpuRequest: much, memoryRequset: 1Mi }\n")).toEqual([
      1,
      'some.yaml:1:40: unknown field "memoryRequset" in sidecar, write memoryRequest\n',
    ]);
    expect(await checked("sidecar: { image: x, cpuRequest: much }\n")).toEqual([
      1,
      'some.yaml:1:34: "much" is not a quantity of Kubernetes, write one as 100m\n',
    ]);
  });
});

describe("an operator config", () => {
  test.each([
    "control: { url: 'https://c:15020' }\n",
    "control: { url: 'https://c:15020' }\nadmin: { address: 0.0.0.0:15030 }\nnamespace: sidelane\nlog: {}\n",
    "control: { url: 'https://c:15020' }\ncertificates: external\nclusterDomain: cluster.local\n",
  ])("%j is known as one", async (text) => {
    expect(await checked(text)).toEqual([0, "some.yaml: operator config, control plane https://c:15020: good\n"]);
  });

  test("is told what is wrong, where, and what to write instead", async () => {
    expect(await checked("control: { uri: 'https://c:15020' }\n")).toEqual([
      1,
      'some.yaml:1:1: field "url" is missing in control, add url: https://sidelane-control.sidelane.svc:15020\n' +
        'some.yaml:1:12: unknown field "uri" in control, write url\n',
    ]);
    expect(await checked("control: { url: c }\n")).toEqual([
      1,
      'some.yaml:1:17: "c" is no URL of a control plane, write https://sidelane-control.sidelane.svc:15020\n',
    ]);
  });

  test("has a schema that editors understand, with words for every field", () => {
    const schema = JSON.parse(
      readFileSync(new URL("../../schema/operator-config.schema.json", import.meta.url), "utf8"),
    ) as object;
    expect(schema).toMatchObject(operatorConfigJsonSchema());
    const valid = new Ajv({ strict: false }).compile(schema);
    expect(valid({ control: { url: "https://c:15020" } })).toBe(true);
    expect(valid({ control: {} })).toBe(false);
  });
});

test("what all configs have is taken for the proxy's, and a proxy config stays one", async () => {
  expect((await checked("admin: { address: x }\n"))[1]).toContain("service");
  const proxy =
    "service: a\nadmin: { open: '*:15004' }\nlisteners: [{ direction: outbound, address: 127.0.0.1:1 }]\ntable: { control: c:1 }\n";
  expect((await checked(proxy))[1]).toContain("proxy config of a, 1 listener: good");
});
