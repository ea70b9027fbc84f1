// RFC 9113 §5.1 as a table: one row per state, one column per frame. The cases of h2spec (http2 §5.1, §5.1.1, §8.1 and
// generic §2) are rows of it.
import { describe, expect, test } from "vitest";
import { IGNORE, OK, STREAM_ERROR, errorCodes, errorName } from "./error-codes.ts";
import { flags, frameTypes } from "./frames.ts";
import {
  FORGOTTEN,
  HEAD_RECEIVED,
  IDLE,
  LOCAL_ENDED,
  LOCAL_RESET,
  OPENED,
  REMOTE_ENDED,
  REMOTE_RESET,
  SKIPPED,
  StreamHistory,
  frameVerdict,
  isClosed,
} from "./stream-state.ts";

const OPEN = OPENED | HEAD_RECEIVED;

const columns = {
  data: [frameTypes.DATA, 0],
  "data end": [frameTypes.DATA, flags.END_STREAM],
  headers: [frameTypes.HEADERS, flags.END_HEADERS],
  "headers end": [frameTypes.HEADERS, flags.END_HEADERS | flags.END_STREAM],
  priority: [frameTypes.PRIORITY, 0],
  reset: [frameTypes.RST_STREAM, 0],
  update: [frameTypes.WINDOW_UPDATE, 0],
} as const;

function spell(verdict: number): string {
  if (verdict === OK) return "ok";
  if (verdict === IGNORE) return "ignore";
  const scope = (verdict & STREAM_ERROR) === 0 ? "connection" : "stream";
  return `${scope} ${errorName(verdict & ~STREAM_ERROR)}`;
}

function row(state: number): Record<string, string> {
  return Object.fromEntries(
    Object.entries(columns).map(([name, [type, flagBits]]) => [name, spell(frameVerdict(state, type, flagBits))]),
  );
}

const connection = { protocol: "connection PROTOCOL_ERROR", closed: "connection STREAM_CLOSED" };
const stream = { protocol: "stream PROTOCOL_ERROR", closed: "stream STREAM_CLOSED" };
const lateFrames = { priority: "ok", reset: "ignore", update: "ignore" };
const dataAndHeaders = (verdict: string): Record<string, string> => ({
  data: verdict,
  "data end": verdict,
  headers: verdict,
  "headers end": verdict,
});

describe("frameVerdict (RFC 9113 §5.1)", () => {
  test("idle: HEADERS and PRIORITY only, and who may send HEADERS is settled elsewhere", () => {
    expect(row(IDLE)).toEqual({
      ...dataAndHeaders(connection.protocol),
      priority: "ok",
      reset: connection.protocol,
      update: connection.protocol,
    });
  });

  test("opened by us, no head yet: any number of heads, no DATA (§8.1)", () => {
    const expected = {
      data: stream.protocol,
      "data end": stream.protocol,
      headers: "ok",
      "headers end": "ok",
      priority: "ok",
      reset: "ok",
      update: "ok",
    };
    expect(row(OPENED)).toEqual(expected);
    expect(row(OPENED | LOCAL_ENDED)).toEqual(expected);
  });

  test("open: DATA, trailers that end the stream, and no other HEADERS (§8.1)", () => {
    const expected = {
      data: "ok",
      "data end": "ok",
      headers: stream.protocol,
      "headers end": "ok",
      priority: "ok",
      reset: "ok",
      update: "ok",
    };
    expect(row(OPEN)).toEqual(expected);
    // half-closed (local): the peer goes on as before.
    expect(row(OPEN | LOCAL_ENDED)).toEqual(expected);
  });

  test("half-closed (remote): WINDOW_UPDATE, PRIORITY and RST_STREAM only", () => {
    expect(row(OPEN | REMOTE_ENDED)).toEqual({
      ...dataAndHeaders(stream.closed),
      priority: "ok",
      reset: "ok",
      update: "ok",
    });
  });

  test("closed by END_STREAM both ways: a connection error", () => {
    expect(row(OPEN | REMOTE_ENDED | LOCAL_ENDED)).toEqual({ ...dataAndHeaders(connection.closed), ...lateFrames });
  });

  test("closed by the peer's RST_STREAM: a stream error", () => {
    for (const state of [OPEN, OPENED, OPEN | LOCAL_ENDED, OPEN | REMOTE_ENDED]) {
      expect(row(state | REMOTE_RESET)).toEqual({ ...dataAndHeaders(stream.closed), ...lateFrames });
    }
  });

  test("closed by our RST_STREAM: what was on its way is ignored", () => {
    for (const state of [OPEN, OPENED, OPEN | LOCAL_ENDED, OPEN | REMOTE_RESET, OPEN | REMOTE_ENDED]) {
      expect(row(state | LOCAL_RESET)).toEqual({ ...dataAndHeaders("ignore"), ...lateFrames });
    }
  });

  test("skipped (§5.1.1): a connection error", () => {
    expect(row(SKIPPED)).toEqual({ ...dataAndHeaders(connection.protocol), ...lateFrames });
  });

  test("closed long ago: ignored, as it may have been reset", () => {
    expect(row(FORGOTTEN)).toEqual({ ...dataAndHeaders("ignore"), ...lateFrames });
  });

  test("isClosed", () => {
    for (const state of [IDLE, OPENED, OPEN, OPEN | LOCAL_ENDED, OPEN | REMOTE_ENDED]) {
      expect(isClosed(state)).toBe(false);
    }
    for (const state of [OPEN | LOCAL_ENDED | REMOTE_ENDED, OPENED | LOCAL_RESET, OPENED | REMOTE_RESET, SKIPPED]) {
      expect(isClosed(state)).toBe(true);
    }
  });
});

describe("StreamHistory", () => {
  const last = 0x7fffffff;

  test("RFC 9113 §5.1.1: even ids and ids that do not grow are refused", () => {
    const history = new StreamHistory();
    expect(history.open(2)).toBe(errorCodes.PROTOCOL_ERROR);
    expect(history.open(5)).toBe(OK);
    expect(history.open(3)).toBe(errorCodes.PROTOCOL_ERROR);
    expect(history.open(5)).toBe(errorCodes.PROTOCOL_ERROR);
    expect(history.open(6)).toBe(errorCodes.PROTOCOL_ERROR);
    expect(history.open(last)).toBe(OK);
    expect(history.lastId).toBe(last);
  });

  test("RFC 9113 §5.1: every id is idle at first, even ones for ever", () => {
    const history = new StreamHistory();
    for (const id of [1, 2, 3, last - 1, last]) expect(history.stateOf(id)).toBe(IDLE);
    history.open(9);
    for (const id of [2, 8, 10, 11]) expect(history.stateOf(id)).toBe(IDLE);
  });

  test("RFC 9113 §5.1.1: lower ids that were passed over are closed, and nobody may use them", () => {
    const history = new StreamHistory();
    history.open(5);
    expect([1, 3].map((id) => history.stateOf(id))).toEqual([SKIPPED, SKIPPED]);
    history.open(7);
    history.open(13);
    expect([9, 11].map((id) => history.stateOf(id))).toEqual([SKIPPED, SKIPPED]);
    // Of gaps only the latest is known.
    expect(history.stateOf(3)).toBe(FORGOTTEN);
  });

  test("how the latest streams were closed", () => {
    const history = new StreamHistory();
    for (const id of [1, 3, 5, 7]) history.open(id);
    history.close(1, OPEN | REMOTE_ENDED | LOCAL_ENDED);
    history.close(3, OPEN | REMOTE_RESET);
    history.close(5, OPENED | LOCAL_RESET);
    history.close(7, OPEN | REMOTE_RESET | LOCAL_RESET);
    expect(history.stateOf(1)).toBe(OPEN | REMOTE_ENDED | LOCAL_ENDED);
    expect(history.stateOf(3)).toBe(OPENED | REMOTE_RESET);
    expect(history.stateOf(5)).toBe(OPENED | LOCAL_RESET);
    expect(history.stateOf(7)).toBe(OPENED | REMOTE_RESET | LOCAL_RESET);
  });

  test("older ones are forgotten", () => {
    const history = new StreamHistory();
    for (let id = 1; id < 1001; id += 2) {
      history.open(id);
      history.close(id, OPEN | REMOTE_RESET);
    }
    expect(history.stateOf(999)).toBe(OPENED | REMOTE_RESET);
    expect(history.stateOf(1001 - 128)).toBe(OPENED | REMOTE_RESET);
    expect(history.stateOf(1001 - 130)).toBe(FORGOTTEN);
    expect(history.stateOf(1)).toBe(FORGOTTEN);
  });

  test("the last ids there are", () => {
    const history = new StreamHistory();
    history.open(last - 2);
    history.open(last);
    expect(history.stateOf(last - 4)).toBe(SKIPPED);
    history.close(last - 2, OPEN | REMOTE_ENDED | LOCAL_ENDED);
    expect(history.stateOf(last - 2)).toBe(OPEN | REMOTE_ENDED | LOCAL_ENDED);
    history.close(last, OPEN | REMOTE_RESET);
    expect(history.stateOf(last)).toBe(OPENED | REMOTE_RESET);
  });
});
