import { describe, expect, test } from "vitest";
import { compile } from "./compile.ts";
import { CompiledTable, emptyTable } from "./compiled-table.ts";
import { explain } from "./explain.ts";
import type { Question } from "./explain.ts";
import { explanationText } from "./explain-text.ts";
import { documentOf, inbound, outbound, ownCopy, seed, shopTable as table } from "./fixture.ts";

const baggage = { carrier: "baggage: sidelane" };
const keyBecause = "not in baggage: sidelane, nor in tracestate: sidelane, nor in header: x-sandbox";
const reject = { ...outbound, onUnknownKey: "reject" } as const;
const app = { target: "127.0.0.1:8080" };

/** Every way a decision can end, as the reader sees it: `golden/explain.txt`. Update with `vitest run -u`. */
const questions: readonly (readonly [title: string, question: Omit<Question, "table">])[] = [
  ["a sandbox has the service", { policy: outbound, service: "checkout", key: "pr-7", ...baggage }],
  ["a group, the first has it, several ports", { policy: outbound, service: "ledger", key: "release-42", ...baggage }],
  ["a group, the second has it", { policy: outbound, service: "payments", key: "release-42", ...baggage }],
  ["one port by number", { policy: outbound, service: "ledger:9090", key: "pr-7" }],
  ["one port by name", { policy: outbound, service: "ledger:grpc", key: "pr-7" }],
  ["a port that does not exist", { policy: outbound, service: "ledger:9999", key: "pr-7" }],
  ["a sandbox without the service", { policy: outbound, service: "checkout", key: "pr-9", ...baggage }],
  [
    "a group without the service",
    { policy: { ...inbound, service: "search" }, service: "search", key: "release-42", ...app },
  ],
  ["by host", { policy: outbound, service: "Checkout.shop.svc.cluster.local:80", key: "pr-7" }],
  ["no key", { policy: outbound, service: "checkout", keyBecause }],
  ["no key and no baseline", { policy: outbound, service: "payments:80", keyBecause }],
  ["unknown key", { policy: outbound, service: "checkout", key: "pr-77", ...baggage }],
  ["unknown key, rejected", { policy: reject, service: "checkout", key: "pr-77", ...baggage }],
  ["unknown service", { policy: outbound, service: "chekout", key: "pr-7" }],
  ["inbound, claimed", { policy: inbound, service: "checkout", key: "pr-7", ...baggage, ...app }],
  ["inbound, not claimed", { policy: inbound, service: "checkout", key: "pr-9", ...baggage, ...app }],
  ["inbound, not in the table", { policy: { ...inbound, service: "search" }, service: "search", key: "pr-7", ...app }],
  ["inbound, no port given", { policy: { ...inbound, service: "ledger" }, service: "ledger", key: "pr-7", ...app }],
  [
    "inbound, one port",
    { policy: { ...inbound, service: "ledger" }, service: "ledger", port: "grpc", key: "pr-7", ...app },
  ],
  [
    "inbound, wrong port",
    { policy: { ...inbound, service: "ledger" }, service: "ledger", port: "x", key: "pr-7", ...app },
  ],
  ["own copy", { policy: ownCopy, service: "checkout", key: "pr-9", ...baggage, ...app }],
  ["own copy, no key", { policy: ownCopy, service: "checkout", keyBecause, ...app }],
  [
    "a required service of the sandbox",
    { policy: outbound, service: "checkout", key: "pr-7", required: ["ledger", "checkout"] },
  ],
  [
    "a required service that the baseline would answer for",
    { policy: outbound, service: "checkout", key: "pr-9", required: ["checkout"] },
  ],
  [
    "a required service elsewhere",
    { policy: { ...inbound, service: "search" }, service: "search", key: "pr-7", required: ["ledger"], ...app },
  ],
  ["a required service that nobody has", { policy: outbound, service: "checkout", key: "pr-7", required: ["chekout"] }],
  [
    "a key that is required to be known",
    { policy: { ...inbound, service: "checkout" }, service: "checkout", key: "pr-1", required: ["checkout"], ...app },
  ],
  [
    "a key that was refused",
    {
      policy: inbound,
      service: "checkout",
      rejection: "The signed key expired on 2026-01-02 03:04 UTC: ask for a new link.",
      edge: { result: "from outside", because: "203.0.113.9 is none of tenancy.edge.callers" },
      ...app,
    },
  ],
  [
    "a key in the host",
    {
      policy: outbound,
      service: "pr-7--checkout.shop.svc.cluster.local:8080",
      knownHost: "checkout.shop.svc.cluster.local",
      key: "pr-7",
      keyBecause: "from host: {key}--*; goes on in baggage",
    },
  ],
  ["outside the table, keys stay here", { policy: outbound, service: "example.com", key: "pr-7", egress: "strip" }],
  ["outside the table, keys leave", { policy: outbound, service: "example.com", key: "pr-7", egress: "keep" }],
  ["a key that would move the cursor", { policy: outbound, service: "checkout", key: "\u001b[2Jpr-7" }],
];

describe("explain", () => {
  test("reads well, whatever the decision", async () => {
    const text = questions.map(
      ([title, question]) => `# ${title}\n${explanationText(explain({ table, ...question }))}`,
    );
    await expect(text.join("\n")).toMatchFileSnapshot("golden/explain.txt");
  });

  test("is plain data", () => {
    const explanation = explain({ table, policy: outbound, service: "ledger", key: "release-42", ...baggage });
    expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
    expect(explanation).toMatchSnapshot();
  });

  test("emphasis is the caller's", () => {
    const paint = { strong: (text: string) => `<b>${text}</b>`, faint: (text: string) => `<i>${text}</i>` };
    const text = explanationText(explain({ table, policy: outbound, service: "checkout", key: "pr-7" }), paint);
    expect(text).toContain("<b>checkout with key pr-7 goes to sandbox pr-7 (sandbox)</b>");
    expect(text).toContain("<i>it has exactly this key</i>");
  });

  test("says so when there is no table yet", () => {
    const explanation = explain({ table: emptyTable, policy: inbound, service: "checkout", key: "pr-7", ...app });
    expect(explanation).toMatchObject({ reason: "unknown-key", destination: "baseline", via: "target" });
    expect(explanationText(explanation)).toContain("version 0: 0 services, 0 sandboxes, 0 groups");
  });

  test("a strict sandbox answers for its services itself, or nobody does", () => {
    const document = documentOf({
      services: { a: { ports: { http: 80, grpc: 81 } }, b: null },
      sandboxes: { s: { strict: true, services: { a: { http: ["x:1"], grpc: ["x:2"] } } } },
    });
    const strict = new CompiledTable(compile(document, seed), 1, "");
    const last = (question: Omit<Question, "table">) => explain({ table: strict, ...question }).steps.at(-1);
    expect(last({ policy: outbound, service: "a:80", key: "s" })).toEqual({
      name: "strict",
      result: "yes",
      because: "sandbox s is strict: if it cannot be reached, the request is refused",
    });
    expect(last({ policy: outbound, service: "b", key: "s" })).toMatchObject({ name: "claim", result: "no" });
    const wrongPort = { policy: { ...inbound, service: "a" }, service: "a", port: "x", key: "s", ...app } as const;
    expect(last(wrongPort)).toEqual({
      name: "strict",
      result: "failed",
      because: "the sandbox is strict, and the baseline would answer (not-in-table)",
    });
    expect(explain({ table: strict, ...wrongPort })).toMatchObject({
      reason: "expectation-failed",
      refused: 424,
      destination: "none",
      via: "refused",
      endpoints: [],
    });
  });

  test("long lists are cut", () => {
    const services = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`s${index}`, ["a:1"]]));
    const document = documentOf({ sandboxes: { big: { services }, small: { services: { other: ["a:1"] } } } });
    const many = new CompiledTable(compile(document, seed), 1, "");
    const claim = explain({ table: many, policy: outbound, service: "other", key: "big" }).steps.at(-1);
    expect(claim?.because).toBe("sandbox big changes s0, s1, s2, s3, s4, s5, s6, s7 and more, not other");
  });
});
