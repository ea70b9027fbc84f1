import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import type { Log, LogFields } from "../base/log.ts";
import { silentLog } from "../base/log.ts";
import { type ByteRange, type LostKey, LostKeys, type LostKeysOptions, mergeLostKeys } from "./lost-keys.ts";
import { Telemetry } from "./metrics.ts";
import { parse } from "./read-exposition.ts";

interface Line {
  readonly message: string;
  readonly fields: LogFields;
}

function made(options: Partial<LostKeysOptions> = {}): { lostKeys: LostKeys; lines: Line[] } {
  const lines: Line[] = [];
  const log: Log = { ...silentLog, warn: (message, fields = {}) => lines.push({ message, fields }) };
  return { lostKeys: new LostKeys(log, { repair: "report", peersMax: 200, logMs: 60_000, ...options }), lines };
}

/** In the middle of other bytes, as a head has it. */
function range(text: string): ByteRange {
  const bytes = Buffer.from(`<${text}>`);
  return { bytes, start: 1, end: bytes.length - 1 };
}

function lost(towards: string, other: Partial<LostKey> = {}): LostKey {
  return {
    service: "checkout",
    towards,
    outcome: "reported",
    key: range("pr-7"),
    trace: range("4bf92f3577b34da6a3ce929d0e0e4736"),
    method: range("POST"),
    path: range("/pay?card=4711"),
    ...other,
  };
}

describe("the log", () => {
  test("says who loses the key towards whom, once per peer and period, and how often since", () => {
    const { lostKeys, lines } = made();
    lostKeys.note(lost("payments"), 1000);
    lostKeys.note(lost("payments"), 2000);
    lostKeys.note(lost("stock"), 3000);
    lostKeys.note(lost("payments", { outcome: "unsure" }), 60_999);
    lostKeys.note(lost("payments", { path: range("/refund") }), 61_000);
    expect(lines.map(({ message }) => message)).toEqual([
      "checkout loses the routing key on the way to payments",
      "checkout loses the routing key on the way to stock",
      "checkout loses the routing key on the way to payments: 3 requests since the last line",
    ]);
    expect(lines[2]?.fields).toEqual({
      peer: "payments",
      count: 3,
      restored: 0,
      unsure: 1,
      trace: "4bf92f3577b34da6a3ce929d0e0e4736",
      key: "pr-7",
      method: "POST",
      path: "/refund",
      advice: expect.stringMatching(
        /^let checkout send the baggage .*=tracecontext,baggage.*`tenancy.repair: restore`/,
      ),
    });
  });

  test("does not advise what is done already", () => {
    const { lostKeys, lines } = made({ repair: "restore" });
    lostKeys.note(lost("payments", { outcome: "restored" }), 0);
    expect(lines).toMatchObject([{ fields: { restored: 1 } }]);
    expect(lines[0]?.fields["advice"]).not.toContain("tenancy.repair");
  });

  test("accuses nobody who may have got no key", () => {
    const { lostKeys, lines } = made();
    lostKeys.note(lost("payments", { outcome: "unsure" }), 0);
    expect(lines[0]?.message).toContain("checkout perhaps loses");
    expect(lines[0]?.fields["advice"]).toBe(
      "requests of this trace also came in without a key: look at who calls checkout first",
    );
  });

  test("is silent with a period of 0", () => {
    const { lostKeys, lines } = made({ logMs: 0 });
    lostKeys.note(lost("payments"), 0);
    expect(lines).toEqual([]);
    expect(lostKeys.describe().lost).toMatchObject([{ count: 1 }]);
  });
});

describe("the report", () => {
  test("has counts, times and an example of each peer, the worst first", () => {
    const { lostKeys } = made();
    lostKeys.note(lost("stock"), 1000);
    lostKeys.note(lost("payments", { outcome: "restored" }), 2000);
    lostKeys.note(lost("payments", { outcome: "unsure" }), 5000);
    expect(lostKeys.describe(11_000, Date.UTC(2026, 0, 2, 3, 4, 11))).toEqual({
      lost: [
        {
          service: "checkout",
          towards: "payments",
          count: 2,
          restored: 1,
          unsure: 1,
          firstAt: "2026-01-02T03:04:02.000Z",
          lastAt: "2026-01-02T03:04:05.000Z",
          example: { trace: "4bf92f3577b34da6a3ce929d0e0e4736", key: "pr-7", method: "POST", path: "/pay" },
        },
        expect.objectContaining({ towards: "stock", count: 1, restored: 0, unsure: 0 }),
      ],
      repair: "report",
      truncated: false,
    });
  });

  test("keeps nothing of what it was given, and of long values the beginning", () => {
    const { lostKeys } = made();
    const key = Buffer.from("pr-7");
    lostKeys.note(lost("payments", { key: { bytes: key, start: 0, end: 4 }, path: range("/".repeat(300)) }), 0);
    key.fill("x");
    expect(lostKeys.describe().lost[0]?.example).toMatchObject({ key: "pr-7", path: `${"/".repeat(256)}…` });
  });

  test("counts peers beyond the limit as `other`", () => {
    const { lostKeys } = made({ peersMax: 2 });
    for (const towards of ["a", "b", "c", "d", "a"]) lostKeys.note(lost(towards), 0);
    const report = lostKeys.describe();
    expect(report.lost.map(({ towards, count }) => [towards, count])).toEqual([
      ["a", 2],
      ["other", 2],
      ["b", 1],
    ]);
    expect(report.truncated).toBe(true);
  });

  test("of several processes is one", () => {
    const [one, two] = [made().lostKeys, made().lostKeys];
    one.note(lost("payments"), 1000);
    two.note(lost("payments", { outcome: "restored", path: range("/later") }), 2000);
    two.note(lost("stock"), 3000);
    expect(mergeLostKeys([one.describe(3000, 3000), two.describe(3000, 3000)])).toEqual({
      lost: [
        {
          service: "checkout",
          towards: "payments",
          count: 2,
          restored: 1,
          unsure: 0,
          firstAt: "1970-01-01T00:00:01.000Z",
          lastAt: "1970-01-01T00:00:02.000Z",
          example: expect.objectContaining({ path: "/later" }),
        },
        expect.objectContaining({ towards: "stock" }),
      ],
      repair: "report",
      truncated: false,
    });
    expect(mergeLostKeys([])).toEqual({ lost: [], repair: "off", truncated: false });
  });
});

test("the metric counts by peer and outcome, and adds up over processes", async () => {
  const telemetries = [1, 2].map(() => {
    const telemetry = new Telemetry({ sandboxLabelsMax: 1, processMetrics: false });
    telemetry.lostKeys = made().lostKeys;
    telemetry.lostKeys.note(lost("payments"), 0);
    telemetry.lostKeys.note(lost("payments", { outcome: "restored" }), 0);
    return telemetry;
  });
  const snapshots = await Promise.all(telemetries.map((telemetry) => telemetry.snapshot()));
  const families = parse(await Telemetry.mergeAndFormat(snapshots));
  expect(families.get("sidelane_lost_keys_total")?.lines).toMatchObject([
    { labels: { service: "checkout", peer: "payments", outcome: "reported" }, value: 2 },
    { labels: { service: "checkout", peer: "payments", outcome: "restored" }, value: 2 },
  ]);
});
