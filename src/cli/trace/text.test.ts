import { describe, expect, test } from "vitest";
import type { JournalEntry } from "../../telemetry/journal-entry.ts";
import { traced } from "./fixture.ts";
import { hopsOf } from "./hops.ts";
import { durationText, traceText } from "./text.ts";
import type { TracedEntry } from "./traced-entry.ts";
import { traceTree } from "./tree.ts";

const claimed: Partial<JournalEntry> = { destination: "pr-7", reason: "sandbox" };
const title = { trace: "4bf92f3577b34da6a3ce929d0e0e4736", keys: ["pr-7"], services: 3, durationMs: 41.2 };

/** The lines under the title. */
function lines(...entries: readonly TracedEntry[]): readonly string[] {
  return traceText(title, hopsOf(traceTree(entries), "pr-7"))
    .split("\n")
    .slice(1, -1);
}

describe("one call is one line", () => {
  test("of the outbound sidecar, the service's and the copy's", () => {
    const copy = { address: "copy:15000", service: "checkout", sandbox: "pr-7" };
    expect(
      lines(
        traced("front", "in", "front", [0, 41.2], { path: "/cart" }),
        traced("front", "out", "checkout", [5, 35.1], { span: "b", ...claimed, method: "POST", path: "/order" }),
        traced(copy, "in", "checkout", [6, 34], { span: "b", destination: "pr-7", reason: "self", method: "POST" }),
        traced(copy, "out", "pricing", [8, 12], { span: "c", path: "/price" }),
        traced("pricing", "in", "pricing", [9, 11], { span: "c", path: "/price" }),
        traced(copy, "out", "mail", [20, 25], { span: "d", path: "/mail" }),
      ),
    ).toEqual([
      "front          baseline  not-in-sandbox  200  41.2 ms  GET /cart",
      "└─ checkout    pr-7      sandbox         200  30.1 ms  POST /order",
      "   ├─ pricing  baseline  not-in-sandbox  200   4.0 ms  GET /price",
      "   └─ mail     baseline  not-in-sandbox  200   5.0 ms  GET /mail",
    ]);
  });

  test("also when the service's own sidecar passed it on to the sandbox", () => {
    const copy = { address: "copy:15000", service: "checkout", sandbox: "pr-7" };
    expect(
      lines(
        traced("front", "out", "checkout", [5, 35], { span: "b", reason: "no-key" }),
        traced("checkout", "in", "checkout", [6, 34], { span: "b", ...claimed }),
        traced(copy, "in", "checkout", [7, 33], { span: "b", destination: "pr-7", reason: "self" }),
      ),
    ).toEqual(["checkout  pr-7  sandbox  200  30.0 ms  GET /  ! called by front"]);
  });

  test("through an outbound sidecar that knows no such service", () => {
    expect(
      lines(
        traced("front", "in", "front", [0, 40]),
        traced("front", "out", "checkout.example", [5, 35], { destination: "passthrough", reason: "not-in-table" }),
        traced("checkout", "in", "checkout", [6, 34], claimed),
      ),
    ).toEqual([
      "front        baseline  not-in-sandbox  200  40.0 ms  GET /",
      "└─ checkout  pr-7      sandbox         200  30.0 ms  GET /",
    ]);
  });
});

describe("two lines where they do not agree", () => {
  test("on where it went: their tables differ", () => {
    expect(
      lines(
        traced("front", "out", "checkout", [5, 35], { span: "b", ...claimed }),
        traced("checkout", "in", "checkout", [6, 34], { span: "b" }),
      ),
    ).toEqual([
      "checkout     pr-7      sandbox         200  30.0 ms  GET /  ! called by front",
      "└─ checkout  baseline  not-in-sandbox  200  28.0 ms  GET /",
    ]);
  });

  test("on the answer", () => {
    const status = { span: "b", ...claimed, status: 503 };
    expect(
      lines(
        traced("front", "out", "checkout", [5, 35], { ...status, status: 502, reason: "upstream-reset" }),
        traced("checkout", "in", "checkout", [6, 34], { ...status, grpcStatus: 14 }),
      ),
    ).toEqual([
      "checkout     pr-7  upstream-reset  502          30.0 ms  GET /  ! called by front",
      "└─ checkout  pr-7  sandbox         503 grpc 14  28.0 ms  GET /",
    ]);
  });
});

describe("what should not be overlooked", () => {
  test("keys that were lost, restored, stamped, or others; refusals; what runs", () => {
    expect(
      lines(
        traced("front", "in", "front", [0, null]),
        traced("front", "out", "a", [1, 2], { keyFrom: "lost" }),
        traced("front", "out", "b", [2, 3], { keyFrom: "restored" }),
        traced("front", "out", "c", [3, 4], { keyFrom: "stamp", key: "pr-9" }),
        traced("front", "out", "d", [4, 5], {
          destination: "none",
          reason: "unknown-key",
          status: 421,
          endpoint: "",
          key: "pr\u001b[2J",
        }),
      ),
    ).toEqual([
      "front  baseline  not-in-sandbox  -    running  GET /",
      "├─ a   baseline  not-in-sandbox  200   1.0 ms  GET /  ! left without the key pr-7",
      "├─ b   baseline  not-in-sandbox  200   1.0 ms  GET /  ! had lost the key pr-7, restored",
      "├─ c   baseline  not-in-sandbox  200   1.0 ms  GET /  ! key stamped; key pr-9",
      String.raw`└─ d   none      unknown-key     421   1.0 ms  GET /  ! key pr\u{001b}[2J`,
    ]);
  });

  test("colours show them, too", () => {
    const mark = (name: string) => (text: string) => `<${name}>${text}</${name}>`;
    const paint = {
      strong: mark("b"),
      faint: (text: string) => text,
      sandbox: mark("sandbox"),
      bad: mark("bad"),
      warning: mark("warning"),
    };
    const hops = hopsOf(
      traceTree([
        traced("front", "in", "front", [0, 9], { ...claimed, keyFrom: "stamp" }),
        traced("front", "out", "a", [1, 2], { status: 503, reason: "upstream-unavailable" }),
      ]),
      "pr-7",
    );
    expect(traceText({ ...title, services: 1, keys: ["pr-7", "b"], durationMs: null }, hops, paint)).toBe(
      [
        "trace <b>4bf92f3577b34da6a3ce929d0e0e4736</b>  keys pr-7, b  1 service  running",
        "<b>front</b>  <sandbox>pr-7    </sandbox>  sandbox               200  9.0 ms  GET /  <warning>! key stamped</warning>",
        "└─ <b>a </b>  baseline  upstream-unavailable  <bad>503</bad>  1.0 ms  GET /",
        "",
      ].join("\n"),
    );
  });
});

test.each([
  [null, "running"],
  [0, "0.0 ms"],
  [9_999.94, "9999.9 ms"],
  [61_234, "61.2 s"],
])("duration of %s ms", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});
