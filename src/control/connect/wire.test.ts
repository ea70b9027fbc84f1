import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineReader, line, parseTarget, readFromMachine, readFromReplica, targetText } from "./wire.ts";
import type { FromMachine, FromReplica } from "./wire.ts";

const fromReplica: readonly FromReplica[] = [
  {
    kind: "welcome",
    sandbox: "pr-7",
    key: "schlüssel\n",
    as: "ada",
    replica: "r",
    endpoints: ["control:16000"],
    graceMs: 30_000,
    temporary: true,
    aftermaths: ["baseline"],
  },
  { kind: "ended", why: "taken-over", detail: "bob took it" },
  { kind: "removed", aftermaths: ["nobody", "sandbox"], problem: "" },
  { kind: "reconnect" },
];
const fromMachine: readonly FromMachine[] = [{ kind: "unreachable", targets: [0, 3] }, { kind: "goodbye" }];

describe("the conversation", () => {
  test("arrives as it was said, however it is cut", () => {
    const text = [...fromReplica, ...fromMachine].map(line).join("");
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const heard: unknown[] = [];
        const reader = new LineReader((message) => heard.push(readFromReplica(message) ?? readFromMachine(message)));
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        for (const [index, place] of places.entries()) {
          expect(reader.push(text.slice(places[index - 1] ?? 0, place))).toBe(true);
        }
        expect(heard).toEqual([...fromReplica, ...fromMachine]);
      }),
    );
  });

  test("whatever JSON comes is a message of ours or none", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("kind", "targets", "endpoints", "graceMs", "why"), fc.jsonValue()),
        (value) => {
          const kinds = ["welcome", "ended", "removed", "reconnect", "unreachable", "goodbye", undefined];
          expect(kinds).toContain(readFromReplica(value)?.kind);
          expect(kinds).toContain(readFromMachine(value)?.kind);
        },
      ),
    );
  });

  test("ends where a line has no end, or is no object", () => {
    expect(new LineReader(() => {}).push("x".repeat(70_000))).toBe(false);
    for (const text of ["[]\n", "null\n", "1\n", "{\n"]) expect(new LineReader(() => {}).push(text)).toBe(false);
  });
});

test("targets are written as people write them", () => {
  for (const text of ["checkout", "ledger:grpc"]) expect(targetText(parseTarget(text))).toBe(text);
});
