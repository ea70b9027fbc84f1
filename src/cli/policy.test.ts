import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { formatProblem } from "../config/problem.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { readSigningKey } from "../protocol/signed-key/read-signing-key.ts";
import { signKey } from "../protocol/signed-key/sign-key.ts";
import { SigningKey } from "../protocol/signed-key/signing-key.ts";
import { compile } from "../routing/compile.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import type { Explanation } from "../routing/explain.ts";
import { documentOf, seed } from "../routing/fixture.ts";
import { explainWith } from "./policy.ts";
import type { Asked } from "./policy.ts";

const table = new CompiledTable(
  compile(
    documentOf({
      services: {
        checkout: { hosts: ["checkout", "checkout.example.com"], baseline: ["checkout:8080"] },
        pricing: { baseline: ["pricing:8080"] },
      },
      sandboxes: {
        "pr-7": { services: { checkout: ["10.0.0.7:8080"] } },
        "pr-8": { strict: true, services: { pricing: ["10.0.0.8:8080"] } },
        dev: { services: { checkout: ["10.0.0.9:8080"] } },
      },
    }),
    seed,
  ),
  1,
  "",
);

let folder = "";
const secret = "0123456789abcdef0123456789abcdef";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sidelane-test-"));
  writeFileSync(join(folder, "k1.secret"), secret);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function config(tenancy: string, { edge = false, egress = "strip", listeners = "both" } = {}): ProxyConfig {
  const inbound = `{ direction: inbound, edge: ${edge}, address: "127.0.0.1:0", target: "127.0.0.1:8080" }`;
  const outbound = `{ direction: outbound, egress: ${egress}, address: "127.0.0.1:0" }`;
  const text = `service: checkout
listeners: [${listeners === "both" ? `${inbound}, ${outbound}` : listeners === "inbound" ? inbound : outbound}]
table: { file: routes.yaml }
tenancy: ${tenancy}
`;
  const result = loadConfig(text, join(folder, "sidelane.yaml"), {});
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.config;
}

function explained(settings: ProxyConfig, asked: Partial<Asked>): Explanation {
  const result = explainWith(settings, table, { headers: [], ...asked });
  if (!result.ok) throw new Error(result.detail);
  return result.explanation;
}

/** `because` of a step, with its result. */
function step({ steps }: Explanation, name: string): string | undefined {
  const found = steps.find((one) => one.name === name);
  return found === undefined ? undefined : `${found.result}: ${found.because}`;
}

describe("carriers", () => {
  const all = config(`{ carriers: [{ baggage: sidelane }, { host: "{key}--*" }, { query: sandbox, remember: box },
    { cookie: box }, { alias: ktenv }, { alias: signadot, propagate: false }, { header: X-Sandbox }] }`);

  test.each([
    [{ headers: [["Baggage", "a=1, sidelane=pr%2D7;x"]] }, "pr-7: from baggage: sidelane"],
    [{ headers: [["host", "pr-7--checkout.example.com"]] }, "pr-7: from host: {key}--*; goes on in baggage"],
    [{ path: "/a?b=c&sandbox=pr-7" }, "pr-7: from query: sandbox; goes on in baggage; the answer sets cookie box"],
    [{ headers: [["cookie", "a=b; box=pr-7"]] }, "pr-7: from cookie: box; goes on in baggage"],
    [
      { headers: [["x-virtual-env", "dev.shop.cart"]] },
      "dev: from header: x-virtual-env (ktenv); nobody has dev.shop.cart, so it falls back to dev; goes on in baggage",
    ],
    [{ headers: [["tracestate", "sd-routing-key=pr-7"]] }, "pr-7: from tracestate: sd-routing-key (signadot)"],
    [{ headers: [["X-SANDBOX", " pr-7 "]] }, "pr-7: from header: x-sandbox"],
    [{ path: "/?sandbox=" }, "none: query: sandbox is empty, so cookie box is taken back"],
    [{ key: "pr-8", path: "/?sandbox=pr-7" }, "pr-8: as given"],
  ] as const)("%j", (asked, expected) => {
    expect(step(explained(all, asked as Partial<Asked>), "key")).toBe(expected);
  });

  test("none has one", () => {
    const bare = config("{ carriers: [{ baggage: sidelane }, { query: sandbox }] }");
    expect(step(explained(bare, {}), "key")).toBe("none: not in baggage: sidelane, nor in query: sandbox");
  });

  test("outbound, the host names the service behind the key; a name that was asked for stays", () => {
    const asked = { host: "pr-7--checkout.example.com:8080" };
    const outbound = config(`{ carriers: [{ host: "{key}--*" }] }`, { listeners: "outbound" });
    expect(explained(outbound, asked)).toMatchObject({ service: "checkout", destination: "pr-7" });
    expect(step(explained(outbound, asked), "service")).toBe(
      "checkout: beside the key in pr-7--checkout.example.com:8080, checkout.example.com is one of its hosts: checkout, checkout.example.com",
    );
    const headers = [["host", "pr-7--checkout.example.com"]] as const;
    expect(explained(outbound, { headers })).toMatchObject({ service: "checkout", destination: "pr-7" });
    expect(explained(outbound, { headers, service: "pricing" })).toMatchObject({ service: "pricing", key: "pr-7" });
  });
});

describe("stamp", () => {
  const stamped = config("{ stamp: pr-7 }");

  test("outbound requests without a key get it", () => {
    const explanation = explained(stamped, { service: "pricing" });
    expect(explanation).toMatchObject({ key: "pr-7", carrier: "tenancy.stamp", reason: "not-in-sandbox" });
    expect(step(explanation, "key")).toBe("pr-7: stamped (tenancy.stamp): the request has none; goes on in baggage");
  });

  test("one that has a key keeps it, and nothing inbound is stamped", () => {
    const headers = [["baggage", "sidelane=pr-8"]] as const;
    expect(explained(stamped, { service: "pricing", headers })).toMatchObject({ key: "pr-8", destination: "pr-8" });
    expect(explained(stamped, { service: "checkout" })).toMatchObject({ key: null, destination: "baseline" });
  });

  test("a host outside the table gets it only with egress: keep", () => {
    expect(explained(stamped, { service: "example.com" })).toMatchObject({ key: null, reason: "not-in-table" });
    const keep = config("{ stamp: pr-7 }", { egress: "keep" });
    expect(explained(keep, { service: "example.com" })).toMatchObject({ key: "pr-7", reason: "not-in-table" });
  });
});

describe("expectations", () => {
  const plain = config("{}");

  test("a required service that the baseline would answer for is refused", () => {
    const headers = [["baggage", "sidelane=pr-7;require=pricing+checkout"]] as const;
    expect(explained(plain, { service: "checkout", headers })).toMatchObject({ reason: "sandbox", refused: null });
    const refused = explained(plain, { service: "pricing", headers });
    expect(refused).toMatchObject({ reason: "expectation-failed", refused: 424, destination: "none", endpoints: [] });
    expect(refused.summary).toBe("pricing with key pr-7 is refused with 424 (expectation-failed)");
    expect(step(refused, "require")).toContain("failed: the request requires pricing to be answered by its sandbox");
  });

  test("a strict sandbox says so", () => {
    const headers = [["baggage", "sidelane=pr-8"]] as const;
    expect(step(explained(plain, { service: "pricing", headers }), "strict")).toContain("yes: sandbox pr-8 is strict");
  });
});

describe("egress", () => {
  test("keys stay here, or leave", () => {
    expect(step(explained(config("{}"), { service: "example.com" }), "egress")).toContain("strip: ");
    const keep = config("{}", { egress: "keep" });
    expect(step(explained(keep, { service: "example.com" }), "egress")).toContain("keep: ");
    expect(step(explained(keep, { service: "pricing" }), "egress")).toBeUndefined();
  });
});

describe("edge", () => {
  const headers = [["baggage", "sidelane=pr-8"]] as const;
  const open = config("{ edge: { carriers: [{ query: sandbox }], callers: [10.0.0.0/8, fd00::/8, 192.0.2.7] } }", {
    edge: true,
  });

  test("from outside only its carriers count, the rest is removed", () => {
    const explanation = explained(open, { headers, path: "/?sandbox=pr-7", caller: "203.0.113.9" });
    expect(step(explanation, "edge")).toBe(
      "from outside: 203.0.113.9 is none of tenancy.edge.callers, so a key counts in query: sandbox only; others are removed",
    );
    expect(step(explanation, "key")).toBe("pr-7: from query: sandbox; goes on in baggage");
    const without = explained(open, { headers });
    expect(step(without, "edge")).toContain("no caller was named");
    expect(step(without, "key")).toBe("none: pr-8 in baggage: sidelane does not count here and is removed");
  });

  test.each(["10.1.2.3", "fd00::1", "192.0.2.7", "::ffff:10.1.2.3"])("every carrier counts for %s", (caller) => {
    const explanation = explained(open, { headers, path: "/?sandbox=pr-7", caller });
    expect(step(explanation, "edge")).toContain("trusted: ");
    expect(explanation.key).toBe("pr-8");
    expect(explained(open, { path: "/?sandbox=pr-7", caller }).key).toBe("pr-7");
  });

  test("nothing counts where nothing is trusted", () => {
    const closed = config("{}", { edge: true });
    const explanation = explained(closed, {});
    expect(step(explanation, "edge")).toContain("no key counts");
    expect(step(explanation, "key")).toBe("none: no key from outside counts");
  });

  test("signed keys count as what was signed, others are refused", () => {
    const signed = config(
      "{ edge: { carriers: [{ query: k }], signedBy: [{ id: k1, algorithm: hmac, file: k1.secret }] } }",
      { edge: true },
    );
    const by = readSigningKey("k1", "hmac", Buffer.from(secret));
    if (!(by instanceof SigningKey)) throw new Error(by.problem);
    const token = signKey({ key: "pr-7", expiresAtSeconds: 4_000_000_000, by });
    const good = explained(signed, { path: `/?k=${token}` });
    expect(good).toMatchObject({ key: "pr-7", destination: "pr-7" });
    expect(step(good, "edge")).toContain("a key counts in query: k only, signed by k1");
    expect(step(good, "key")).toBe("pr-7: from query: k; goes on in baggage; signed by k1 until 2096-10-02 07:06 UTC");
    const bad = explained(signed, { path: "/?k=pr-7" });
    expect(bad).toMatchObject({ key: null, carrier: null, reason: "key-rejected", refused: 403, destination: "none" });
    expect(step(bad, "key")).toContain("rejected: The signed key is damaged");
    const old = signKey({ key: "pr-7", expiresAtSeconds: 1_000_000_000, by });
    expect(step(explained(signed, { path: `/?k=${old}` }), "key")).toContain("expired on 2001-09-09 01:46 UTC");
  });

  test("a trusted caller may bring a signed key where plain ones may be, too", () => {
    const carriers = "carriers: [{ query: k }]";
    const edge = `{ ${carriers}, callers: [10.0.0.0/8], signedBy: [{ id: k1, algorithm: hmac, file: k1.secret }] }`;
    const signed = config(`{ ${carriers}, edge: ${edge} }`, { edge: true });
    const by = readSigningKey("k1", "hmac", Buffer.from(secret));
    if (!(by instanceof SigningKey)) throw new Error(by.problem);
    const ask = (key: string): Explanation => explained(signed, { path: `/?k=${key}`, caller: "10.1.2.3" });
    const token = (expiresAtSeconds: number): string => signKey({ key: "pr-7", expiresAtSeconds, by });
    expect(ask(token(4_000_000_000))).toMatchObject({ key: "pr-7", destination: "pr-7" });
    expect(ask(token(1_000_000_000))).toMatchObject({ key: null, reason: "key-rejected" });
    expect(ask("pr-8")).toMatchObject({ key: "pr-8" });
    expect(ask("pr-99")).toMatchObject({ key: "pr-99", reason: "unknown-key" });
  });

  test.each([
    [{ caller: "me" }, '"me" is no address, write the caller\'s as in 10.1.2.3'],
    [{ path: "x" }, '"x" is no request target, write it as in /x?sidelane=pr-7'],
    [{ path: "/a b" }, '"/a b" is no request target, write it as in /x?sidelane=pr-7'],
  ])("%j makes no sense", (asked, detail) => {
    expect(explainWith(open, table, { headers: [], ...asked })).toEqual({ ok: false, detail });
  });

  test("nor does a caller of a service that is behind another sidecar", () => {
    const detail =
      "who the caller is matters to the listener with edge: true alone, which is checkout's, so leave out the caller, or the service pricing";
    const asked = { headers: [], caller: "10.1.2.3" };
    expect(explainWith(open, table, { ...asked, service: "pricing" })).toEqual({ ok: false, detail });
    expect(explained(open, { ...asked, service: "checkout" }).service).toBe("checkout");
    expect(explained(open, { ...asked, host: "shop.example.com" }).service).toBe("checkout");
  });

  test("nor does a caller where no listener is an edge", () => {
    const detail = "no listener of the config has edge: true, so it does not matter who the caller is";
    expect(explainWith(config("{}"), table, { headers: [], caller: "10.1.2.3" })).toEqual({ ok: false, detail });
  });
});
