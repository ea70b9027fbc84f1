import { describe, expect, test } from "vitest";
import { defaultLimits, defaultTimeouts } from "../base/limits.ts";
import { carrierOf } from "../routing/carrier.ts";
import { configJsonSchema } from "./json-schema.ts";
import { environmentName } from "./environment.ts";
import type { Environment } from "./environment.ts";
import { loadConfig } from "./load-config.ts";
import { formatProblem } from "./problem.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import { scalarFields } from "./schema-fields.ts";
import type { ScalarField } from "./schema-fields.ts";

/** Variables without which the field's own could not stand, where the file does not have it. */
function companions({ path }: ScalarField): Environment {
  const name = path.at(-1);
  const carriers = `SIDELANE_TENANCY_${path[1] === "edge" ? "EDGE_" : ""}CARRIERS`;
  if (name === "propagate") return { [`${carriers}_0_QUERY`]: "sandbox" };
  if (name === "remember") return { [`${carriers}_0_QUERY`]: "sidelane", [`${carriers}_1_COOKIE`]: "sidelane" };
  if (path[0] === "table" && (name === "certificate" || name === "key")) {
    return { SIDELANE_TABLE_TLS_CERTIFICATE: "a.crt", SIDELANE_TABLE_TLS_KEY: "a.key" };
  }
  if (path[2] !== "signedBy") return {};
  const key = "SIDELANE_TENANCY_EDGE_SIGNED_BY_0";
  return {
    [`${carriers}_0_QUERY`]: "sidelane",
    [`${key}_ID`]: "k1",
    [`${key}_ALGORITHM`]: "hmac",
    [`${key}_FILE`]: "k1.secret",
  };
}

/** With every section that has required fields of its own. */
const withTls = `
service: checkout
listeners:
  - { direction: inbound, edge: true, address: "0.0.0.0:15006", target: "127.0.0.1:8080", tls: { certificate: a.crt, key: a.key, clientCertificates: optional, ca: a.ca } }
  - { direction: outbound, address: "127.0.0.1:15001" }
table: { file: ./routes.yaml }
upstreamTls: { payment-api: { ca: b.ca, certificate: b.crt, key: b.key } }
`;

const minimal = `
service: checkout
listeners:
  - { direction: inbound, address: "0.0.0.0:15006", target: "127.0.0.1:8080" }
  - { direction: outbound, address: "127.0.0.1:15001" }
table: { file: ./routes.yaml }
`;

function load(text: string, environment: Environment = {}): ProxyConfig {
  const result = loadConfig(text, "/etc/sidelane/sidelane.yaml", environment);
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

function refused(text: string, environment: Environment = {}): readonly string[] {
  const result = loadConfig(text, "sidelane.yaml", environment);
  return result.ok ? [] : result.problems.map(formatProblem);
}

describe("loadConfig", () => {
  test("fills in every default", () => {
    expect(load(minimal)).toEqual({
      service: "checkout",
      listeners: [
        {
          name: "inbound",
          direction: "inbound",
          address: "0.0.0.0:15006",
          target: "127.0.0.1:8080",
          port: "",
          protocol: "auto",
          edge: false,
        },
        { name: "outbound", direction: "outbound", address: "127.0.0.1:15001", protocol: "auto", egress: "strip" },
      ],
      table: { file: "/etc/sidelane/routes.yaml" },
      tenancy: {
        carriers: [carrierOf("baggage", "sidelane")],
        onUnknownKey: "baseline",
        onUnavailable: "fail",
        repair: "report",
        edge: { carriers: [], callers: [], signedBy: [] },
      },
      upstreamTls: {},
      admin: { address: "127.0.0.1:15000" },
      limits: defaultLimits,
      timeouts: defaultTimeouts,
      workers: 1,
      log: { level: "info" },
      accessLog: { enabled: false, sample: 1, errorsOnly: false, file: "-" },
    });
  });

  test("an address that is only a port: in the file and in the environment", () => {
    expect(refused(minimal.replace('"127.0.0.1:15001"', "31006"))).toEqual([
      "sidelane.yaml:5:37: listeners[1].address is the number 31006, not host:port, the host is missing, write 127.0.0.1:31006",
    ]);
    expect(refused(minimal, { SIDELANE_ADMIN_ADDRESS: "15000" })).toEqual([
      'SIDELANE_ADMIN_ADDRESS: "15000" is not an address, the host is missing, write 127.0.0.1:15000',
    ]);
  });

  test("what is missing in an entry that a variable made is located at the variable", () => {
    expect(refused(minimal, { SIDELANE_LISTENERS_2_ADDRESS: "127.0.0.1:15002" })).toEqual([
      'SIDELANE_LISTENERS_2_ADDRESS: field "direction" is missing in listeners[2], add direction: inbound',
    ]);
  });

  test("a routing table is called one, and a field that is one letter off is not", () => {
    expect(refused("services: { a: }\n")).toEqual([
      "sidelane.yaml:1:1: this is a routing table, not a proxy config, name the proxy config",
    ]);
    expect(refused(minimal.replace("service:", "services:"))[0]).toMatch(
      /unknown field "services", write service|missing/u,
    );
  });

  test("a field without a value counts as left out", () => {
    expect(load(`${minimal}limits:\ntimeouts:\n  connectMs:\nadmin: {}\nsandbox:\n`)).toEqual(load(minimal));
  });

  test("paths are relative to the file, absolute ones stay", () => {
    const text = minimal.replace("./routes.yaml", "/shared/routes.yaml");
    const config = load(`${text}accessLog: { enabled: true, file: logs/access.log }\n`);
    expect(config.table.file).toBe("/shared/routes.yaml");
    expect(config.accessLog.file).toBe("/etc/sidelane/logs/access.log");
  });

  test("headers are compared in small letters", () => {
    const { carriers } = load(
      `${minimal}tenancy: { carriers: [{ header: X-Sandbox }, { tracestate: ot@sd }] }\n`,
    ).tenancy;
    expect(carriers).toEqual([carrierOf("header", "x-sandbox"), carrierOf("tracestate", "ot@sd")]);
  });

  test("port 0 may stand in several addresses", () => {
    const text = minimal.replace("0.0.0.0:15006", "127.0.0.1:0").replace("127.0.0.1:15001", "127.0.0.1:0");
    expect(load(`${text}admin: { address: "127.0.0.1:0" }\n`).admin.address).toBe("127.0.0.1:0");
  });

  test("the URI limit gives way to a smaller head unless it was written", () => {
    expect(load(`${minimal}limits: { headBytesMax: 8192 }\n`).limits.uriBytesMax).toBe(8192);
    expect(refused(`${minimal}limits: { headBytesMax: 8192, uriBytesMax: 8193 }\n`)).toHaveLength(1);
  });

  test("an admin server that others can reach is worth a warning", () => {
    const result = loadConfig(`${minimal}admin: { address: "0.0.0.0:15000" }\n`, "sidelane.yaml", {});
    if (!result.ok) throw new Error("refused");
    expect(result.warnings.map(formatProblem)).toEqual([
      "sidelane.yaml:7:19: the admin server listens on 0.0.0.0, whoever reaches it can read the table and drain the sidecar, write 127.0.0.1, or guard the port",
    ]);
  });

  test("so is an ownership server", () => {
    const result = loadConfig(`${minimal}ownership: { address: "0.0.0.0:15002" }\n`, "sidelane.yaml", {});
    if (!result.ok) throw new Error("refused");
    expect(result.warnings.map(formatProblem)).toEqual([
      "sidelane.yaml:7:23: the ownership server listens on 0.0.0.0, whoever reaches it can read who owns which keys, write 127.0.0.1, or guard the port",
    ]);
  });

  test("says what is missing from an empty file, with an example", () => {
    expect(refused("")).toEqual([
      'sidelane.yaml:1:1: field "service" is missing, add service: checkout',
      'sidelane.yaml:1:1: field "listeners" is missing, add listeners: [{ direction: outbound, address: 127.0.0.1:15001 }]',
      'sidelane.yaml:1:1: field "table" is missing, add table: { file: ./routes.yaml }',
    ]);
  });
});

describe("TLS", () => {
  test("files are relative to the config", () => {
    const config = load(withTls);
    expect(config.listeners[0]?.tls).toEqual({
      certificate: "/etc/sidelane/a.crt",
      key: "/etc/sidelane/a.key",
      clientCertificates: "optional",
      ca: "/etc/sidelane/a.ca",
      minVersion: "TLSv1.2",
      plaintext: "refuse",
    });
    expect(config.listeners[1]).not.toHaveProperty("tls");
    expect(config.upstreamTls).toEqual({
      "payment-api": {
        ca: "/etc/sidelane/b.ca",
        certificate: "/etc/sidelane/b.crt",
        key: "/etc/sidelane/b.key",
        verify: true,
      },
    });
  });

  test("believing whoever answers is worth a warning", () => {
    const result = loadConfig(`${minimal}upstreamTls: { ledger: { verify: false } }\n`, "sidelane.yaml", {});
    if (!result.ok) throw new Error("refused");
    expect(result.warnings.map(formatProblem)).toEqual([
      "sidelane.yaml:7:34: endpoints of ledger are believed to be what they say, whoever can answer in their place reads the requests and writes the answers, write ca: with the path of the authority that made their certificates",
    ]);
  });
});

describe("environment twins", () => {
  test("each scalar field has one of its own", () => {
    const names = scalarFields(configJsonSchema()).map((field) => environmentName(field.path));
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain("SIDELANE_TENANCY_ON_UNKNOWN_KEY");
    expect(names).toContain("SIDELANE_LISTENERS_0_ADDRESS");
    expect(names).toContain("SIDELANE_TIMEOUTS_CONNECT_MS");
    expect(names).toContain("SIDELANE_TENANCY_CARRIERS_0_BAGGAGE");
  });

  test("each of them works", () => {
    for (const field of scalarFields(configJsonSchema())) {
      const example = field.schema.examples?.[0];
      expect(example, environmentName(field.path)).toBeDefined();
      // The outbound listener is the second one.
      const name = environmentName(field.path).replace("<NAME>", "PAYMENT_API").replace("_0_EGRESS", "_1_EGRESS");
      // Where the table comes from a control plane, the fields are others.
      const control = field.path[0] === "table" && field.path[1] !== "file";
      const file = control ? withTls.replace("file: ./routes.yaml", "control: 127.0.0.1:15021") : withTls;
      const result = loadConfig(file, "sidelane.yaml", { ...companions(field), [name]: String(example) });
      expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([]);
    }
  });

  test("they win over the file, and what is wrong with them is said of them", () => {
    const config = load(minimal, {
      SIDELANE_SERVICE: "ledger",
      SIDELANE_LISTENERS_1_ADDRESS: "127.0.0.1:16001",
      SIDELANE_TENANCY_CARRIERS_0_HEADER: "x-sandbox",
      SIDELANE_TENANCY_CARRIERS_1_BAGGAGE: "sidelane",
      SIDELANE_TIMEOUTS_CONNECT_MS: "500",
      SIDELANE_ACCESS_LOG_ENABLED: "true",
      SIDELANE_ACCESS_LOG_SAMPLE: "0.25",
    });
    expect(config.service).toBe("ledger");
    expect(config.listeners[1]?.address).toBe("127.0.0.1:16001");
    expect(config.tenancy.carriers.map(({ kind }) => kind)).toEqual(["header", "baggage"]);
    expect(config.timeouts.connectMs).toBe(500);
    expect(config.accessLog).toMatchObject({ enabled: true, sample: 0.25 });
    expect(refused(minimal, { SIDELANE_WORKERS: "many", SIDELANE_ADMIN_ADDRESS: "nowhere" })).toEqual([
      'SIDELANE_WORKERS: workers is the text "many", not a number, write 2',
    ]);
    expect(refused(minimal, { SIDELANE_ADMIN_ADDRESS: "nowhere" })).toEqual([
      'SIDELANE_ADMIN_ADDRESS: "nowhere" is not an address, the port is missing, write nowhere:8080',
    ]);
  });

  test("a whole config can come from them, in any order, with more than ten listeners", () => {
    const listeners = Array.from({ length: 12 }, (_, index) => [
      [`SIDELANE_LISTENERS_${index}_NAME`, `out-${index}`],
      [`SIDELANE_LISTENERS_${index}_DIRECTION`, "outbound"],
      [`SIDELANE_LISTENERS_${index}_ADDRESS`, `127.0.0.1:${16000 + index}`],
    ]);
    const variables = [...listeners.flat(), ["SIDELANE_SERVICE", "checkout"], ["SIDELANE_TABLE_FILE", "/r.yaml"]];
    const environment = Object.fromEntries(variables.toReversed()) as Environment;
    expect(load("", environment).listeners).toHaveLength(12);
  });

  test("empty ones count as not set", () => {
    expect(load(minimal, { SIDELANE_SANDBOX: "", SIDELANE_WORKERS: "", SIDELANE_NOTHING: "" })).toEqual(load(minimal));
  });

  test("names of services are folded; what the file does not have is a new entry", () => {
    const text = `${minimal}upstreamTls: { Payment.API: {} }\n`;
    const config = load(text, {
      SIDELANE_UPSTREAM_TLS_PAYMENT_API_SERVER_NAME: "payments",
      SIDELANE_UPSTREAM_TLS_LEDGER_BOOK_CERTIFICATE: "ledger.crt",
      SIDELANE_UPSTREAM_TLS_LEDGER_BOOK_KEY: "ledger.key",
      SIDELANE_UPSTREAM_TLS_LEDGER_BOOK_VERIFY: "true",
    });
    expect(config.upstreamTls).toEqual({
      "Payment.API": { serverName: "payments", verify: true },
      "ledger-book": { certificate: "/etc/sidelane/ledger.crt", key: "/etc/sidelane/ledger.key", verify: true },
    });
    expect(refused(minimal, { SIDELANE_UPSTREAM_TLS_LEDGER_KEY: "k", SIDELANE_UPSTREAM_TLS_CA: "ca" })).toEqual([
      "SIDELANE_UPSTREAM_TLS_CA: no field of the config has this environment variable, unset it; docs/configuration.md lists them all",
      "SIDELANE_UPSTREAM_TLS_LEDGER_KEY: TLS to ledger has a key and no certificate, one is of no use without the other, add certificate: ./tls.crt",
    ]);
  });

  test("unknown ones are problems, with the nearest name", () => {
    expect(
      refused(minimal, { SIDELANE_ADMIN_ADRESS: "127.0.0.1:1", SIDELANE_LISTENERS_1_ADRESS: "x", SIDELANE_X: "1" }),
    ).toEqual([
      "SIDELANE_ADMIN_ADRESS: no field of the config has this environment variable, write SIDELANE_ADMIN_ADDRESS",
      "SIDELANE_LISTENERS_1_ADRESS: no field of the config has this environment variable, write SIDELANE_LISTENERS_1_ADDRESS",
      "SIDELANE_X: no field of the config has this environment variable, unset it; docs/configuration.md lists them all",
    ]);
  });

  test("lists have no gaps", () => {
    expect(refused(minimal, { SIDELANE_LISTENERS_5_ADDRESS: "127.0.0.1:1" })).toEqual([
      "SIDELANE_LISTENERS_5_ADDRESS: listeners has 2 entries, so there can be no entry 5, count from 0 without gaps; the next one is 2",
    ]);
  });

  test("variables that Kubernetes sets for a service called sidelane are none of ours", () => {
    const links = {
      SIDELANE_SERVICE_HOST: "10.96.0.9",
      SIDELANE_SERVICE_PORT: "80",
      SIDELANE_SERVICE_PORT_HTTP: "80",
      SIDELANE_PORT: "tcp://10.96.0.9:80",
      SIDELANE_PORT_80_TCP: "tcp://10.96.0.9:80",
      SIDELANE_PORT_80_TCP_PROTO: "tcp",
      SIDELANE_PORT_80_TCP_PORT: "80",
      SIDELANE_PORT_80_TCP_ADDR: "10.96.0.9",
      SIDELANE_ADMIN_SERVICE_HOST: "10.96.0.9",
      SIDELANE_CONTROL_PORT: "tcp://10.96.0.9:80",
    };
    expect(load(minimal, links)).toEqual(load(minimal));
    expect(refused(minimal, { SIDELANE_PORT: "80" })).toHaveLength(1);
  });

  test("variables of others do not matter", () => {
    expect(load(minimal, { PATH: "/bin", sidelane_workers: "3", XSIDELANE_WORKERS: "3" })).toEqual(load(minimal));
  });
});
