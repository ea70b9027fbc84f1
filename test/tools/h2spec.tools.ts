// The conformance suite h2spec against a sidecar before a real backend: all of its parts, each case a test. Not part of
// `npm test`, because it is built with Go; where these tests run, Go has to be there.
import { describe, expect, test } from "vitest";
import { type SpecCase, type Way, installH2spec, runH2spec, withSidecar } from "../support/h2spec.ts";

const PARTS = ["generic", "http2", "hpack"];
/** Cases of version 2.6.0 in these parts, the strict ones included. */
const CASES = 147;

/**
 * Cases that RFC 9113 made obsolete, by part and title, with the section that did. A case that is listed may fail; one
 * that is listed and passes has to leave the list.
 */
const obsolete: ReadonlyMap<string, string> = new Map([]);

/** How one run went; `trouble` says why there was none. */
interface Run {
  readonly cases: readonly SpecCase[];
  readonly trouble: unknown;
}

// Before the tests are defined, because their names come from the report.
async function runAll(way: Way): Promise<Run> {
  try {
    const program = await installH2spec();
    return { cases: await withSidecar(way, (port) => runH2spec(program, port, PARTS, way.tls)), trouble: undefined };
  } catch (trouble) {
    return { cases: [], trouble };
  }
}

const nameOf = ({ section, title }: SpecCase): string => `${section}: ${title}`;

const ways: readonly (readonly [string, Way])[] = [
  ["protocol auto", { protocol: "auto", tls: false }],
  ["protocol http2", { protocol: "http2", tls: false }],
  ["h2 by ALPN over TLS", { protocol: "auto", tls: true }],
];

for (const [name, way] of ways) {
  const { cases, trouble } = await runAll(way);

  describe(`h2spec, ${name}`, () => {
    test("runs to its end, and nothing is left out", () => {
      if (trouble !== undefined) throw trouble as Error;
      expect(cases).toHaveLength(CASES);
      expect(cases.filter(({ skipped }) => skipped)).toEqual([]);
      const known = new Set(cases.map(nameOf));
      expect([...obsolete.keys()].filter((name) => !known.has(name))).toEqual([]);
    });

    test.each(cases.map((one) => [nameOf(one), one] as const))("%s", (name, { failure }) => {
      if (obsolete.has(name)) expect(failure).toBeDefined();
      else expect(failure).toBeUndefined();
    });
  });
}
