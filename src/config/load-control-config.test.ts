import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { PemFolder, makeAuthority } from "../../test/support/certificates.ts";
import { checkControlFiles } from "./check-control-files.ts";
import type { ControlConfig } from "./control-config.ts";
import { controlTwins, environmentName } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { controlConfigJsonSchema } from "./json-schema.ts";
import { loadConfig } from "./load-config.ts";
import { loadControlConfig } from "./load-control-config.ts";
import { formatProblem } from "./problem.ts";
import { scalarFields } from "./schema-fields.ts";
import type { ScalarField } from "./schema-fields.ts";

function load(text: string, environment: Environment = {}, store?: string): ControlConfig {
  const result = loadControlConfig(text, "/etc/sidelane/control.yaml", environment, store);
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

function refused(text: string, environment: Environment = {}): readonly string[] {
  const result = loadControlConfig(text, "control.yaml", environment);
  return result.ok ? [] : result.problems.map(formatProblem);
}

function warned(text: string): readonly string[] {
  const result = loadControlConfig(text, "control.yaml", {});
  return result.ok ? result.warnings.map(formatProblem) : ["refused"];
}

describe("a control config", () => {
  test("needs nothing", () => {
    expect(load("")).toMatchObject({
      store: { kind: "file", directory: "/etc/sidelane/sidelane-control" },
      api: { address: "127.0.0.1:15020" },
      feed: { address: "127.0.0.1:15021" },
      auth: { kind: "none" },
      connect: { host: hostname(), ports: { first: 16_000, last: 16_099 } },
      limits: { bodyBytesMax: 1_048_576 },
      timeouts: { disconnectedMs: 15_000 },
      log: { level: "info" },
    });
  });

  test("paths are relative to the file, that of --store to where one stands", () => {
    const tls = "{ certificate: a.crt, key: a.key, clientCa: ca.crt }";
    const config = load(`store: file:data\napi: { tls: ${tls} }\nauth: { tokens: tokens.yaml }\n`);
    expect(config.store).toEqual({ kind: "file", directory: "/etc/sidelane/data" });
    expect(config.api.tls).toEqual({
      certificate: "/etc/sidelane/a.crt",
      key: "/etc/sidelane/a.key",
      clientCa: "/etc/sidelane/ca.crt",
    });
    expect(config.auth).toMatchObject({ tokens: "/etc/sidelane/tokens.yaml" });
    expect(load("store: file:data", {}, "file:other").store).toEqual({
      kind: "file",
      directory: `${process.cwd()}/other`,
    });
    expect(load("store: file:///var/data").store).toEqual({ kind: "file", directory: "/var/data" });
  });

  test("etcd", () => {
    expect(load("store: etcd://10.0.0.1:2379").store).toEqual({
      kind: "etcd",
      endpoints: ["10.0.0.1:2379"],
      prefix: "/sidelane",
    });
    const text = "store: etcds://a:1,[::1]:2/x//y/\netcd: { tls: { ca: ca.crt }, username: u, passwordFile: p }\n";
    expect(load(text).store).toEqual({
      kind: "etcd",
      endpoints: ["a:1", "[::1]:2"],
      prefix: "/x/y",
      tls: { ca: "/etc/sidelane/ca.crt" },
      username: "u",
      passwordFile: "/etc/sidelane/p",
    });
  });

  test("kubernetes", () => {
    expect(load("store: kubernetes://sidelane").store).toEqual({ kind: "kubernetes", namespace: "sidelane" });
    expect(load("store: kubernetes").store).toEqual({ kind: "kubernetes" });
    expect(load('store: "kubernetes:"').store).toEqual({ kind: "kubernetes" });
    const roles = [{ name: "system:serviceaccount:*:*", role: "sidecar" }];
    const text = `auth: { kubernetes: { roles: ${JSON.stringify(roles)} } }`;
    expect(load(text).auth).toEqual({
      kind: "credentials",
      certificates: [],
      kubernetes: { audience: "sidelane", roles },
    });
  });

  test("an address that others reach needs a word about who may ask", () => {
    const open = 'api: { address: "0.0.0.0:15020" }\n';
    expect(refused(open)).toEqual([
      "control.yaml:1:17: the API listens on 0.0.0.0:15020 and asks nobody who they are, whoever reaches it may change where requests go, add auth: { tokens: ./tokens.yaml }, or write auth: none where the network is guarded",
    ]);
    expect(warned(`${open}auth: none\n`)).toEqual([expect.stringContaining("asks nobody who they are")]);
    expect(warned(`${open}auth: { tokens: t.yaml }\n`)).toEqual([expect.stringContaining("without TLS")]);
    const tls = 'api: { address: "0.0.0.0:15020", tls: { certificate: a, key: b } }\n';
    expect(warned(`${tls}auth: { tokens: t.yaml }\n`)).toEqual([]);
  });

  test.each([
    ["store: /var/lib/x", '"/var/lib/x" is not a store, write file:/var/lib/x'],
    ["store: redis://x", '"redis://x" is not a store'],
    ["store: 'file:'", "store names no directory"],
    ["store: etcd://", "names no member of etcd"],
    ["store: etcd://a:1\netcd: { passwordFile: p }", "etcd has a passwordFile and no username"],
    ["etcd: { username: u, passwordFile: p }", "the store is another one"],
    ["store: kubernetes://A", '"kubernetes://A" names no namespace'],
    ["store: kubernetes\netcd: { username: u, passwordFile: p }", "the store is another one"],
    ["auth: { kubernetes: { roles: [] } }", "write at least one role"],
    ["auth: {}", "auth has neither tokens nor certificates"],
    ["advertise: control-0", "is not a URL"],
    ["advertise: http://control-0:1/x", "has more than a host and a port, write http://control-0:1"],
    ["connect: { ports: 17000-16000 }", "is not a range of ports"],
    ["connect: { ports: 15000-15100 }", "has 15020, on which the API listens"],
    ['feed: { address: "127.0.0.1:15020" }', "which the API has as 127.0.0.1:15020"],
  ])("%s is refused", (text, message) => {
    expect(refused(text).join("\n")).toContain(message);
  });

  test.each(["control-contradictions", "control-shapes"])("golden/%s", async (name) => {
    const messages = refused(readFileSync(new URL(`golden/${name}.yaml`, import.meta.url), "utf8"));
    await expect(`${messages.join("\n")}\n`).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  test("another kind of file in its place is one problem", () => {
    expect(refused("services: {}")).toEqual([
      "control.yaml:1:1: this is a routing table, not a control config, name the control config",
    ]);
    expect(refused("service: checkout\nlisteners: []")).toEqual([
      "control.yaml:1:1: this is a proxy config, not a control config, name the control config",
    ]);
    const mistaken = loadConfig("store: file:x", "sidelane.yaml", {});
    expect(mistaken.ok ? [] : mistaken.problems.map(({ message }) => message)).toEqual([
      "this is a control config, not a proxy config",
    ]);
    expect(load("limits: { waitsMax: 3 }").limits.waitsMax).toBe(3);
  });
});

describe("environment twins", () => {
  const fields = scalarFields(controlConfigJsonSchema());
  const base = `
store: etcds://a:1
etcd: { username: u, passwordFile: p, tls: { certificate: a, key: b } }
api: { tls: { certificate: a, key: b, clientCa: c } }
feed: { tls: { certificate: a, key: b, clientCa: c } }
`;
  const twin = ({ path }: ScalarField): string => environmentName(path, controlTwins);

  test("each scalar field has one of its own, and it works", () => {
    expect(new Set(fields.map(twin)).size).toBe(fields.length);
    for (const field of fields) {
      const name = twin(field);
      const list = /_AUTH_(?:CERTIFICATES|KUBERNETES_ROLES)_0_/u.exec(name) ?? /_AUTH_KUBERNETES_/u.exec(name);
      const entry = `SIDELANE_CONTROL${list?.[0] === "_AUTH_KUBERNETES_" ? "_AUTH_KUBERNETES_ROLES_0_" : list?.[0]}`;
      const companions: Environment = list === null ? {} : { [`${entry}NAME`]: "x", [`${entry}ROLE`]: "viewer" };
      const text = name === "SIDELANE_CONTROL_STORE" ? "" : base;
      expect(refused(text, { ...companions, [name]: String(field.schema.examples?.[0]) }), name).toEqual([]);
    }
  });

  test("they win over the file, unknown ones are problems, and others' are none", () => {
    const environment = {
      SIDELANE_CONTROL_STORE: "file:/data",
      SIDELANE_CONTROL_AUTH_TOKENS: "tokens.yaml",
      SIDELANE_CONTROL_LIMITS_WAITS_MAX: "7",
    };
    expect(load("store: file:/x\nauth: none\n".replace("auth: none\n", ""), environment)).toMatchObject({
      store: { directory: "/data" },
      auth: { kind: "credentials", tokens: "/etc/sidelane/tokens.yaml" },
      limits: { waitsMax: 7 },
    });
    expect(refused("", { SIDELANE_CONTROL_STOER: "file:/x" })).toEqual([
      "SIDELANE_CONTROL_STOER: no field of the config has this environment variable, write SIDELANE_CONTROL_STORE",
    ]);
    const foreign = { SIDELANE_ADMIN_ADDRESS: "x", SIDELANE_CONTROL: "http://x", SIDELANE_CONTROL_CONFIG: "x" };
    const links = { SIDELANE_CONTROL_SERVICE_HOST: "10.0.0.1", SIDELANE_CONTROL_PORT: "tcp://10.0.0.1:80" };
    expect(refused("", { ...foreign, ...links })).toEqual([]);
  });

  test("a sidecar passes over them", () => {
    const text = "service: a\nlisteners: [{ direction: outbound, address: '127.0.0.1:1' }]\ntable: { file: t.yaml }\n";
    const others = { SIDELANE_CONTROL: "http://x", SIDELANE_CONTROL_STORE: "file:/x", SIDELANE_TOKEN: "t" };
    expect(loadConfig(text, "sidelane.yaml", others)).toMatchObject({ ok: true });
  });
});

test("the JSON Schema accepts what is accepted, and describes every field", () => {
  const schema = controlConfigJsonSchema();
  const valid = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema);
  expect(valid({ store: "file:/x", auth: "none", api: { address: "127.0.0.1:1" } })).toBe(true);
  expect(valid({ auth: { tokens: "x", certificates: [{ name: "*", role: "viewer" }] } })).toBe(true);
  expect(valid({ auth: "nobody" })).toBe(false);
  expect(valid({ stor: "file:/x" })).toBe(false);
  for (const field of scalarFields(schema)) expect(field.schema.description, field.path.join(".")).toMatch(/\S{3}/u);
});

test("the files that it names are looked at", async () => {
  const folder = await PemFolder.make();
  const authority = await makeAuthority();
  const pair = await folder.putPair("tls", await authority.sign("control"));
  const tokens = await folder.put("tokens.yaml", "- { name: a, role: editor, token: short }\n");
  const text = `api: { tls: { certificate: ${pair.certificate}, key: ${pair.key}, clientCa: ${folder.path}/ca.crt } }\nauth: { tokens: ${tokens} }\nreplicas: { ca: ${pair.key} }\n`;
  const result = loadControlConfig(text, "control.yaml", {});
  if (!result.ok) throw new Error("refused");
  const lines = checkControlFiles(result.config, result.source).problems.map(formatProblem);
  expect(lines).toEqual([
    expect.stringMatching(/^control\.yaml:1:.*api\.tls\.clientCa: .*ca\.crt does not exist, check the path$/u),
    expect.stringMatching(/^control\.yaml:3:.*replicas\.ca: .*tls\.key holds a private key and no certificate/u),
    expect.stringMatching(/tokens\.yaml:1:35: the token of a has 5 characters/u),
  ]);
});
