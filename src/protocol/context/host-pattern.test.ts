import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Found } from "./found.ts";
import { type HostPattern, parseHostPattern } from "./host-pattern.ts";

function pattern(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed;
}

/** [key, rest], or undefined; the host stands among other bytes. */
function match(text: string, host: string): [string, string] | undefined {
  const bytes = Buffer.from(`a--b.c${host}a--b.c`, "latin1");
  const key = new Found();
  const wanted = pattern(text);
  if (!wanted.match(bytes, 6, 6 + host.length, key)) return undefined;
  return [
    Buffer.from(key.bytes.subarray(key.start, key.end)).toString(),
    bytes.toString("latin1", wanted.restStart, wanted.restEnd),
  ];
}

describe("match", () => {
  test.each([
    ["{key}--*", "pr-7--checkout.example.com", "pr-7", "checkout.example.com"],
    ["{key}--*", "PR-7--Checkout.Example.com", "pr-7", "Checkout.Example.com"],
    ["{KEY}--*", "a_b--c", "a_b", "c"],
    ["{key}--*", "a--b--c", "a", "b--c"],
    ["{key}--*", "pr-7--checkout.", "pr-7", "checkout."],
    ["{key}.*", "pr-7.checkout.example.com", "pr-7", "checkout.example.com"],
    ["{key}.preview.*", "pr-7.preview.shop", "pr-7", "shop"],
    ["x-{key}--*.example.com", "x-pr-7--checkout.EXAMPLE.com", "pr-7", "checkout"],
    ["*--{key}", "checkout--pr-7", "pr-7", "checkout"],
    ["*--{key}.example.com", "checkout--pr-7.example.com", "pr-7", "checkout"],
    ["*--{key}", "a--b--c", "c", "a--b"],
    ["*.{key}.dev", "checkout.shop.pr-7.dev", "pr-7", "checkout.shop"],
    ["{key}-*", "a-b-c", "a", "b-c"],
    ["*-{key}", "a-b-c", "c", "a-b"],
    ["{key}x*", "axxb", "a", "xb"],
    ["{key}--*", `pr-7--${"a".repeat(249)}`, "pr-7", "a".repeat(249)],
  ])("%s finds in %s: %s, %s", (text, host, key, rest) => {
    expect(match(text, host)).toEqual([key, rest]);
  });

  test.each([
    ["{key}--*", "", "nothing"],
    ["{key}--*", "checkout.example.com", "no separator"],
    ["{key}--*", "--checkout", "no key"],
    ["{key}--*", "pr-7--", "no host"],
    ["{key}--*", "pr-7-checkout", "half a separator"],
    ["{key}--*", "pr.7--checkout", "a dot in the key"],
    ["{key}--*", "checkout.a--b", "a separator in another label"],
    ["{key}--*", "a--.b", "a host that begins with a dot"],
    ["{key}--*", "a---b", "a host that begins with a hyphen"],
    ["{key}--*", "pr%2D7--checkout", "what cannot be in a host"],
    ["{key}--*", "pr-7--checkout:80", "a port"],
    ["{key}--*", "pr-7--gr\u00fcn.example", "octets above 0x7F"],
    ["{key}--*.example.com", "pr-7--checkout.example.org", "another end"],
    ["{key}--*.example.com", "pr-7--.example.com", "no host before the end"],
    ["x-{key}--*", "y-pr-7--checkout", "another begin"],
    ["*--{key}", "checkout--pr.7", "a dot in the key, from the right"],
    ["*--{key}", "--pr-7", "no host in front"],
    ["*--{key}", "checkout--", "no key behind"],
    ["{key}--*", `pr-7--${"a".repeat(251)}`, "a host longer than any name"],
    ["{key}.*", "10.0.0.1", "an IPv4 address"],
    ["*.{key}", "10.0.0.1", "an IPv4 address, from the right"],
    ["{key}.*", "10.0.0.1.", "an IPv4 address with a dot behind"],
    ["{key}.*", "a.0x7f", "a name that ends in a number"],
    ["{key}.*", "[2001:db8::1]", "an IPv6 address"],
    ["{key}.*", "[::ffff:1.2.3.4]", "an IPv6 address that ends in IPv4"],
  ])("%s finds nothing in %j: %s", (text, host) => {
    expect(match(text, host)).toBeUndefined();
  });

  test("a key without capitals is found in place, and without a match nothing changes", () => {
    const wanted = pattern("{key}--*");
    const bytes = Buffer.from("pr-7--checkout");
    const key = new Found();
    expect(wanted.match(bytes, 0, bytes.length, key)).toBe(true);
    expect(key.bytes).toBe(bytes);
    expect(wanted.match(Buffer.from("pr-7-checkout"), 0, 13, key)).toBe(false);
    expect([key.bytes, key.start, key.end, wanted.restStart, wanted.restEnd]).toEqual([bytes, 0, 4, 6, 14]);
  });
});

describe("agrees with a regular expression", () => {
  const host = fc
    .array(fc.constantFrom("a", "B", "-", "--", ".", "9", "0x1", "_", ".dev", "x"), { maxLength: 9 })
    .map((pieces) => pieces.join(""));
  /** An address, something that a resolver takes for one, or an empty last label. */
  const unfit = /(^|\.)([0-9]+|0x[0-9a-f]*)\.?$|(^|\.)\.$/u;

  test.each([
    ["{key}--*", /^([a-z0-9_-]+?)--(.+)$/u, 1],
    ["{key}.*", /^([a-z0-9_-]+?)\.(.+)$/u, 1],
    ["x{key}-*.dev", /^x([a-z0-9_-]+?)-(.+)\.dev$/u, 1],
    ["*--{key}", /^(.+)--([a-z0-9_-]+)$/u, 2],
    ["*.{key}.dev", /^(.+)\.([a-z0-9_-]+)\.dev$/u, 2],
  ] as const)("%s", (text, expression, keyGroup) => {
    fc.assert(
      fc.property(host, (wild) => {
        const folded = wild.toLowerCase();
        const found = unfit.test(folded) ? null : expression.exec(folded);
        const key = found?.[keyGroup];
        const rest = found?.[3 - keyGroup];
        const expected = key === undefined || rest === undefined || /^[.-]/u.test(rest) ? undefined : [key, rest];
        const answer = match(text, wild);
        expect(answer && [answer[0], answer[1].toLowerCase()]).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("parseHostPattern", () => {
  test.each([
    ["", "there is no {key}"],
    ["*.example.com", "there is no {key}"],
    ["{key}.example.com", "there is no *"],
    ["{key}--{key}--*", "{key} stands here twice"],
    ["{key}--*.*", "* stands here twice"],
    ["{key}*", "between {key} and *"],
    ["*{key}", "between {key} and *"],
    ["{key}--*:8080", '":" cannot be part of a host'],
    ["{key}--*/a", '"/" cannot be part of a host'],
    ["{key}--{name}.*", '"{" cannot be part of a host'],
    ["{key} *", '" " cannot be part of a host'],
    ["{key}--*.gr\u00fcn", '"\u00fc" cannot be part of a host'],
  ])("%s", (text, problem) => {
    const parsed = parseHostPattern(text);
    expect(parsed).toHaveProperty("problem", expect.stringContaining(problem));
    expect(parsed).toHaveProperty("hint", expect.stringMatching(/^(write|use|leave) /u));
  });
});
