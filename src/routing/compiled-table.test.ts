import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { compile } from "./compile.ts";
import { CompiledTable, emptyTable } from "./compiled-table.ts";
import { documentOf, seed, shop, shopTable as table } from "./fixture.ts";
import { selfCheck } from "./self-check.ts";

const findService = (text: string, from = table): number =>
  from.findService(Buffer.from(text), 0, Buffer.byteLength(text));
const findTarget = (text: string, from = table): number =>
  from.findTarget(Buffer.from(text), 0, Buffer.byteLength(text));

describe("CompiledTable", () => {
  test("describes the whole table", () => {
    expect(table.describe()).toMatchSnapshot();
  });

  test("finds keys exactly: no prefix, no case, no white space", () => {
    expect(table.targetName(findTarget("pr-7"))).toBe("pr-7");
    expect(table.targetName(findTarget("release-42"))).toBe("release-42");
    for (const key of ["", "pr-", "pr-77", "PR-7", " pr-7", "pr-7 ", "pr-7\0", "x".repeat(10_000)]) {
      expect(findTarget(key)).toBe(-1);
    }
  });

  test("finds keys and hosts inside larger buffers", () => {
    const bytes = Buffer.from("baggage: sidelane=pr-7,x=1");
    expect(table.targetName(table.findTarget(bytes, 18, 22))).toBe("pr-7");
    expect(table.findTarget(bytes, 18, 23)).toBe(-1);
    expect(table.findTarget(bytes, 18, 18)).toBe(-1);
  });

  test("finds hosts without regard to case and to a final dot", () => {
    for (const host of ["checkout", "CHECKOUT", "checkout.", "Checkout.Shop.svc.cluster.LOCAL."]) {
      expect(table.serviceName(findService(host))).toBe("checkout");
    }
    for (const host of ["", ".", "checkout..", "checkou", "checkout.shop", "[checkout"])
      expect(findService(host)).toBe(-1);
  });

  test("finds IPv6 hosts with and without brackets", () => {
    const document = documentOf({ services: { six: { hosts: ["[2001:DB8::1]"] } } });
    const other = new CompiledTable(compile(document, seed), 1, "");
    expect(findService("[2001:db8::1]", other)).toBe(0);
    expect(findService("2001:db8::1", other)).toBe(0);
    expect(findService("[]", other)).toBe(-1);
  });

  test("tells ports apart by number and name", () => {
    const ledger = table.serviceByName("ledger");
    const grpc = table.servicePortByName(ledger, "grpc");
    expect(table.portName(grpc)).toBe("grpc");
    expect(table.servicePort(ledger, 9090)).toBe(grpc);
    expect(table.servicePort(ledger, 80)).toBe(-1);
    expect(table.servicePortByName(ledger, "")).toBe(-1);
    expect(table.servicePortByName(ledger, "metrics")).toBe(-1);
  });

  test("a service with one port has it under every number; unnamed, under every name", () => {
    const checkout = table.serviceByName("checkout");
    const only = table.servicePortByName(checkout, "");
    expect(only).not.toBe(-1);
    expect(table.servicePort(checkout, 1234)).toBe(only);
    expect(table.servicePortByName(checkout, "http")).toBe(only);
  });

  test("a service with one named port has it under its name and as the only one", () => {
    const document = documentOf({ services: { a: { ports: { http: 80 }, baseline: ["a:80"] } } });
    const other = new CompiledTable(compile(document, seed), 1, "");
    expect(other.servicePortByName(0, "http")).toBe(0);
    expect(other.servicePortByName(0, "")).toBe(0);
    expect(other.servicePortByName(0, "grpc")).toBe(-1);
    expect(other.endpoints(other.baselineSet(0))).toEqual(["a:80"]);
  });

  test("a sandbox is strict for its own services, a group for those of its strict members", () => {
    const document = documentOf({
      sandboxes: {
        "pr-1": { strict: true, services: { a: ["10.0.0.1:80"] } },
        "pr-2": { strict: false, services: { a: ["10.0.0.2:80"], b: ["10.0.0.2:80"] } },
      },
      groups: { g: { sandboxes: ["pr-2", "pr-1"] }, h: { sandboxes: ["pr-1", "pr-2"] } },
    });
    const other = new CompiledTable(compile(document, seed), 1, "");
    const strict = (key: string) => {
      const target = findTarget(key, other);
      return [other.isStrict(target), ...["a", "b"].map((name) => other.strictFor(target, other.serviceByName(name)))];
    };
    expect(strict("pr-1")).toEqual([true, true, false]);
    expect(strict("pr-2")).toEqual([false, false, false]);
    expect(strict("g")).toEqual([true, false, false]);
    expect(strict("h")).toEqual([true, true, false]);
  });

  test("a group gives the first of its sandboxes that has the service", () => {
    const payments = table.servicePortByName(table.serviceByName("payments"), "");
    const set = table.overrideSet(findTarget("release-42"), payments);
    expect(table.setOwner(set)).toBe("pr-9");
    expect(table.endpoints(set)).toEqual(["10.0.0.9:8080", "10.0.0.10:8080"]);
    expect(table.overrideSet(findTarget("pr-7"), payments)).toBe(-1);
    expect(table.baselineSet(payments)).toBe(-1);
  });

  test("the empty table knows nothing", () => {
    expect(emptyTable.version).toBe(0);
    expect(findTarget("", emptyTable)).toBe(-1);
    expect(findService("checkout", emptyTable)).toBe(-1);
    expect(emptyTable.serviceByName("checkout")).toBe(-1);
    expect(emptyTable.describe().counts).toEqual({ services: 0, sandboxes: 0, groups: 0, endpoints: 0 });
  });

  test("an image moves to another thread without a copy", () => {
    const image = compile(shop, seed);
    const moved = structuredClone(image, { transfer: [image.buffer] });
    expect(image.buffer.byteLength).toBe(0);
    expect(new CompiledTable(moved, 3, "0123456789ab").describe()).toEqual(table.describe());
  });

  test("constructing a table creates as many objects for 2,000 sandboxes as for none: it reads the header only", () => {
    const sandboxes = Object.fromEntries(
      Array.from({ length: 2000 }, (_, i) => [`pr-${i}`, { services: { a: ["a:1"] } }]),
    );
    const image = compile(documentOf({ sandboxes }), seed);
    const words = new Int32Array(image.buffer, 0, Math.floor(image.buffer.byteLength / 4));
    const header = words.slice(0, 16);
    words.fill(0x7fffffff);
    words.set(header);
    // Everything behind the header is rubbish, and nobody notices.
    expect(new CompiledTable(image, 1, "").counts.sandboxes).toBe(2000);
  });

  test("describe stops at 1,000 of a kind and says so", () => {
    const sandboxes = Object.fromEntries(
      Array.from({ length: 1001 }, (_, i) => [`pr-${i}`, { services: { a: ["a:1"] } }]),
    );
    const many = new CompiledTable(compile(documentOf({ sandboxes }), seed), 1, "").describe();
    expect(many.truncated).toBe(true);
    expect(Object.keys(many.sandboxes)).toHaveLength(1000);
    expect(many.counts.sandboxes).toBe(1001);
  });

  test("names that every object inherits are names like any other", () => {
    const document = documentOf({
      services: { constructor: null },
      sandboxes: { toString: { services: { constructor: ["a:1"], hasOwnProperty: ["b:1"] } } },
    });
    const image = compile(document, seed);
    selfCheck(document, image);
    const other = new CompiledTable(image, 1, "");
    expect(other.serviceByName("valueOf")).toBe(-1);
    expect(findTarget("toString", other)).toBe(0);
  });

  test("any set of keys is found again under any seed, and nothing else", () => {
    const keys = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }), { maxLength: 60 });
    fc.assert(
      fc.property(
        keys,
        fc.array(fc.string({ unit: "grapheme" })),
        fc.integer(),
        fc.integer(),
        (known, others, low, high) => {
          const sandboxes = Object.fromEntries(known.map((key, index) => [`s${index}`, { key, services: {} }]));
          const random = new CompiledTable(compile(documentOf({ sandboxes }), { low, high }), 1, "");
          for (const [index, key] of known.entries())
            expect(random.targetName(findTarget(key, random))).toBe(`s${index}`);
          for (const key of others) if (!known.includes(key)) expect(findTarget(key, random)).toBe(-1);
        },
      ),
    );
  });
});

describe("selfCheck", () => {
  test("accepts what compile made", () => {
    expect(() => selfCheck(shop, compile(shop, seed))).not.toThrow();
  });

  test("finds every single damaged word that a look-up depends on", () => {
    const pristine = compile(shop, seed);
    let missed = 0;
    const words = pristine.buffer.byteLength >> 2;
    for (let word = 0; word < words; word++) {
      const image = { buffer: pristine.buffer.slice(0) };
      const view = new Int32Array(image.buffer, 0, words);
      view[word] = (view[word] ?? 0) ^ 1;
      try {
        selfCheck(shop, image);
        missed++;
      } catch {
        // found
      }
    }
    // Hashes in empty slots, the endpoint total of the header and numbers nobody reads for unnamed ports may change unseen.
    expect(missed / words).toBeLessThan(0.35);
  });

  test("refuses an image that is cut short or of another layout", () => {
    const image = compile(shop, seed);
    expect(() => selfCheck(shop, { buffer: image.buffer.slice(0, 100) })).toThrow(/wrong length/u);
    expect(() => selfCheck(shop, { buffer: new ArrayBuffer(8) })).toThrow(/cut short/u);
    expect(() => selfCheck(shop, { buffer: new ArrayBuffer(4096) })).toThrow(/not a table image/u);
  });
});
