import { describe, expect, test } from "vitest";
import { carrierOf } from "../routing/carrier.ts";
import { loadConfig } from "./load-config.ts";
import { formatProblem } from "./problem.ts";
import type { ProxyConfig } from "./proxy-config.ts";

const inbound = `{ direction: inbound, address: "127.0.0.1:15006", target: "127.0.0.1:8080" }`;
const edge = `{ direction: inbound, edge: true, address: "127.0.0.1:15006", target: "127.0.0.1:8080" }`;
const outbound = `{ direction: outbound, address: "127.0.0.1:15001" }`;

const text = (listeners: readonly string[], rest: string): string => `
service: checkout
table: { file: routes.yaml }
listeners: [${listeners.join(", ")}]
${rest}
`;

function load(listeners: readonly string[], rest: string): ProxyConfig {
  const result = loadConfig(text(listeners, rest), "/etc/sidelane/sidelane.yaml", {});
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

/** Problems, or the warnings of a good config; without their places. */
function told(listeners: readonly string[], rest: string): readonly string[] {
  const result = loadConfig(text(listeners, rest), "sidelane.yaml", {});
  return (result.ok ? result.warnings : result.problems).map((problem) => {
    const warning = result.ok ? "warning: " : "";
    return warning + formatProblem(problem).replace(/^sidelane\.yaml:[0-9]+:[0-9]+: /u, "");
  });
}

describe("carriers", () => {
  test("of every kind, names of headers and host patterns in small letters, aliases expanded", () => {
    const carriers = `[{ baggage: Sidelane }, { header: X-Sandbox, propagate: true }, { host: "{key}--*" },
      { query: sandbox, remember: sandbox }, { cookie: sandbox, propagate: false }, { alias: okteto, propagate: false }]`;
    expect(load([inbound], `tenancy: { carriers: ${carriers} }`).tenancy.carriers).toEqual([
      carrierOf("baggage", "Sidelane"),
      carrierOf("header", "x-sandbox", { propagate: true }),
      carrierOf("host", "{key}--*"),
      carrierOf("query", "sandbox", { remember: "sandbox" }),
      carrierOf("cookie", "sandbox", { propagate: false }),
      carrierOf("baggage", "okteto-divert", { alias: "okteto" }),
      carrierOf("header", "x-okteto-divert", { alias: "okteto" }),
    ]);
  });

  test("the cookie that remembers may be an alias's", () => {
    const carriers = "[{ query: sandbox, remember: mirrord-session }, { alias: mirrord }]";
    expect(told([inbound], `tenancy: { carriers: ${carriers} }`)).toEqual([]);
  });

  test("a cookie before the link that it remembers", () => {
    const first = (carriers: string): readonly string[] => told([inbound], `tenancy: { carriers: ${carriers} }`);
    const query = "{ query: key, remember: sandbox }";
    expect(first(`[{ baggage: sidelane }, { cookie: sandbox }, ${query}]`)).toEqual([
      "warning: cookie sandbox stands before query key, which it remembers (see sidelane.yaml:5:76), the first key that is found wins, so that no other link has any effect while the browser has the cookie, put the query first",
    ]);
    expect(first(`[{ baggage: sidelane }, ${query}, { cookie: sandbox }]`)).toEqual([]);
    expect(first(`[{ baggage: sidelane }, { cookie: other }, ${query}, { cookie: sandbox }]`)).toEqual([]);
    expect(first(`[{ alias: mirrord }, { query: key, remember: mirrord-session }]`)[0]).toContain("stands before");
    expect(told([edge], `tenancy: { edge: { carriers: [{ cookie: sandbox }, ${query}] } }`)[0]).toContain(
      "warning: cookie sandbox stands before query key",
    );
  });

  test("an alias twice", () => {
    expect(told([inbound], "tenancy: { carriers: [{ alias: uber }, { alias: uber }] }")).toEqual([
      "alias uber is listed twice (see sidelane.yaml:5:32), remove one",
    ]);
  });
});

describe("shorter than can be", () => {
  test.each([
    ["{ carriers: signadot }", "tenancy.carriers is text, not a list, write [{ alias: signadot }]"],
    ["{ carriers: sidelane }", "tenancy.carriers is text, not a list, write [{ baggage: sidelane }]"],
    ["{ carriers: pr-7 }", "tenancy.carriers is text, not a list, write [{ baggage: sidelane }]"],
    ["{ carriers: { cookie: a } }", "tenancy.carriers is a map, not a list, write [{ baggage: sidelane }]"],
    ["{ carriers: [uber] }", 'tenancy.carriers[0] is the text "uber", not a map, write { alias: uber }'],
    ['{ carriers: ["{key}--*"] }', 'tenancy.carriers[0] is the text "{key}--*", not a map, write { host: "{key}--*" }'],
    [
      "{ edge: true }",
      "tenancy.edge is true, not a map, it says whom the listeners at the edge trust, write edge: true in the listener that the world calls",
    ],
    ["{ edge: sidelane }", 'tenancy.edge is the text "sidelane", not a map, write { carriers: [{ query: sidelane }] }'],
  ])("%s", (tenancy, message) => {
    expect(told([inbound], `tenancy: ${tenancy}`)).toEqual([message]);
  });
});

describe("in the wrong place", () => {
  test.each([
    ["stamp: pr-7", 'unknown field "stamp", write it in tenancy'],
    ["repair: off", 'unknown field "repair", write it in tenancy'],
    ["edge: true", 'unknown field "edge", write it in one of listeners or in tenancy'],
    ["journal: 5", 'unknown field "journal", its size is a limit, write journalEntriesMax in limits'],
    ["tenancy: { workers: 2 }", 'unknown field "workers" in tenancy, write it at the top of the file'],
    [
      "tenancy: { strict: true }",
      'unknown field "strict" in tenancy, the routing table says which sandboxes are strict, write it there in sandboxes.<name>',
    ],
    [
      "tenancy: { require: checkout }",
      'unknown field "require" in tenancy, each request says for itself which services it requires, send baggage: sidelane=<key>;require=<service>',
    ],
  ])("%s", (rest, message) => {
    expect(told([inbound], rest)).toEqual([message]);
  });
});

describe("stamp and repair", () => {
  test("what is stamped goes out", () => {
    expect(load([outbound], "tenancy: { stamp: pr-7 }").tenancy.stamp).toBe("pr-7");
    expect(load([inbound], "").tenancy).not.toHaveProperty("stamp");
    expect(told([inbound], "tenancy: { stamp: pr-7 }")).toEqual([
      "tenancy.stamp without an outbound listener, what the service sends is stamped, and none of it comes by here, add a listener with direction: outbound, or remove it",
    ]);
    expect(told([outbound], 'tenancy: { stamp: "" }')).toEqual([
      '"" is not a routing key, a routing key must not be empty, remove it',
    ]);
  });

  test("repair needs both directions when it is written", () => {
    expect(load([inbound], "").tenancy.repair).toBe("report");
    expect(told([inbound], "tenancy: { repair: off }")).toEqual([]);
    expect(told([inbound, outbound], "tenancy: { repair: restore }")).toEqual([]);
    expect(told([inbound], "tenancy: { repair: report }")).toEqual([
      "tenancy.repair is report, but no listener is outbound, a lost key shows where a trace comes in with it and goes out without it, add a listener with direction: outbound, or write off",
    ]);
    expect(told([outbound], "tenancy: { repair: restore }")).toEqual([
      "tenancy.repair is restore, but no listener is inbound, a lost key shows where a trace comes in with it and goes out without it, add a listener with direction: inbound, or write off",
    ]);
  });

  test("a trace that another process has seen cannot be restored, and is reported only by chance", () => {
    const both = [inbound, outbound];
    expect(told(both, "workers: 2")).toEqual([]);
    expect(told(both, "workers: 2\ntenancy: { repair: restore }")).toEqual([
      "tenancy.repair is restore with 2 workers (see sidelane.yaml:5:10), a trace that comes in at one process and goes out at another is not recognised, write workers: 1, or repair: report",
    ]);
    expect(told(both, "workers: 2\ntenancy: { repair: report }")).toEqual([
      "warning: tenancy.repair is report with 2 workers (see sidelane.yaml:5:10), a trace that comes in at one process and goes out at another is not recognised, write workers: 1 to see every lost key",
    ]);
  });
});

describe("edge", () => {
  test("trusts nobody by default, and then removes every key", () => {
    expect(load([inbound], "").tenancy.edge).toEqual({ carriers: [], callers: [], signedBy: [] });
    expect(told([edge], "")).toEqual([
      "warning: listener inbound removes every routing key, tenancy.edge trusts no carrier and no caller, add tenancy.edge.carriers or tenancy.edge.callers if requests from there shall reach sandboxes",
    ]);
    expect(told([edge], "tenancy: { edge: { callers: [10.0.0.0/8] } }")).toEqual([]);
  });

  test("carriers as everywhere, files relative to the config", () => {
    const settings = "{ carriers: [{ query: sidelane }], signedBy: [{ id: k1, algorithm: hmac, file: ./k1.secret }] }";
    expect(load([edge], `tenancy: { edge: ${settings} }`).tenancy.edge).toEqual({
      carriers: [carrierOf("query", "sidelane")],
      callers: [],
      signedBy: [{ id: "k1", algorithm: "hmac", file: "/etc/sidelane/k1.secret" }],
    });
  });

  test("without a listener that is one it would protect nobody", () => {
    expect(told([inbound], "tenancy: { edge: { callers: [10.0.0.0/8] } }")).toEqual([
      "tenancy.edge.callers, but no listener has edge: true, it would protect nobody, add edge: true to listener inbound, or remove it",
    ]);
    expect(told([outbound], "tenancy: { edge: { carriers: [{ query: sidelane }] } }")).toEqual([
      "tenancy.edge.carriers, but no listener has edge: true, it would protect nobody, add edge: true to an inbound listener, or remove it",
    ]);
  });

  test("keys have to come from somewhere to be signed", () => {
    const settings = "{ callers: [10.0.0.0/8], signedBy: [{ id: k1, algorithm: hmac, file: k1.secret }] }";
    expect(told([edge], `tenancy: { edge: ${settings} }`)).toEqual([
      "tenancy.edge.signedBy without tenancy.edge.carriers, it says who has to sign the keys that are found there, add carriers: [{ query: sidelane }] beside it, or remove it",
    ]);
  });
});

describe("spans", () => {
  test.each([
    ["http://127.0.0.1:4318", "has no path"],
    ["grpc://127.0.0.1:4317/v1/traces", "is not a URL of http or https"],
    ["localhost", "is not a URL"],
  ])("%s %s", (endpoint, complaint) => {
    expect(told([inbound], `spans: { endpoint: "${endpoint}" }`)[0]).toContain(`"${endpoint}" ${complaint}`);
  });

  test("credentials are not for everybody", () => {
    expect(told([inbound], 'spans: { endpoint: "https://ada:pw@otel.example/v1/traces" }')).toEqual([
      "spans.endpoint holds credentials, GET /config shows them, write https://otel.example/v1/traces, and the credentials into the environment variable OTEL_EXPORTER_OTLP_HEADERS",
    ]);
  });
});
