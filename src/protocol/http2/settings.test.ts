import { describe, expect, test } from "vitest";
import { OK, errorCodes } from "./error-codes.ts";
import { FRAME_HEAD_BYTES, writeSettings } from "./frames.ts";
import { PeerSettings, settingIds } from "./settings.ts";

const { PROTOCOL_ERROR, FLOW_CONTROL_ERROR } = errorCodes;

function apply(settings: PeerSettings, pairs: readonly number[], fromServer = false): number {
  const out = new Uint8Array(256);
  return settings.apply(out, FRAME_HEAD_BYTES, writeSettings(out, 0, pairs), fromServer);
}

describe("settings of the peer", () => {
  test("RFC 9113 §6.5.2: what holds before the first frame", () => {
    expect(new PeerSettings()).toEqual({
      headerTableBytes: 4096,
      headerTableBytesLowest: 4096,
      enablePush: true,
      maxConcurrentStreams: Number.POSITIVE_INFINITY,
      initialWindowBytes: 65_535,
      maxFrameBytes: 16_384,
      headerListBytesMax: Number.POSITIVE_INFINITY,
      enableConnectProtocol: false,
    });
  });

  test("RFC 9113 §6.5.2: every setting", () => {
    const settings = new PeerSettings();
    expect(apply(settings, [1, 0, 2, 0, 3, 0, 4, 0, 5, 0xffffff, 6, 0, 8, 1])).toBe(OK);
    expect(settings).toEqual({
      headerTableBytes: 0,
      headerTableBytesLowest: 0,
      enablePush: false,
      maxConcurrentStreams: 0,
      initialWindowBytes: 0,
      maxFrameBytes: 0xffffff,
      headerListBytesMax: 0,
      enableConnectProtocol: true,
    });
  });

  test("RFC 9113 §6.5: values without an upper bound take all 32 bits", () => {
    const settings = new PeerSettings();
    expect(apply(settings, [1, 0xffffffff, 3, 0xffffffff, 6, 0xffffffff])).toBe(OK);
    expect(settings.headerTableBytes).toBe(0xffffffff);
    expect(settings.maxConcurrentStreams).toBe(0xffffffff);
    expect(settings.headerListBytesMax).toBe(0xffffffff);
  });

  test.each([
    ["ENABLE_PUSH 2", settingIds.ENABLE_PUSH, 2, PROTOCOL_ERROR],
    ["INITIAL_WINDOW_SIZE 2^31", settingIds.INITIAL_WINDOW_SIZE, 0x80000000, FLOW_CONTROL_ERROR],
    ["INITIAL_WINDOW_SIZE 2^32-1", settingIds.INITIAL_WINDOW_SIZE, 0xffffffff, FLOW_CONTROL_ERROR],
    ["INITIAL_WINDOW_SIZE 2^31-1", settingIds.INITIAL_WINDOW_SIZE, 0x7fffffff, OK],
    ["MAX_FRAME_SIZE 2^14-1", settingIds.MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR],
    ["MAX_FRAME_SIZE 2^14", settingIds.MAX_FRAME_SIZE, 16_384, OK],
    ["MAX_FRAME_SIZE 2^24-1", settingIds.MAX_FRAME_SIZE, 0xffffff, OK],
    ["MAX_FRAME_SIZE 2^24", settingIds.MAX_FRAME_SIZE, 0x1000000, PROTOCOL_ERROR],
    ["ENABLE_CONNECT_PROTOCOL 2 (RFC 8441 §3)", settingIds.ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL_ERROR],
    ["an unknown setting", 0xff, 0xffffffff, OK],
    ["setting 0", 0, 1, OK],
    ["NO_RFC7540_PRIORITIES", settingIds.NO_RFC7540_PRIORITIES, 1, OK],
  ])("RFC 9113 §6.5.2: %s", (_, id, value, expected) => {
    expect(apply(new PeerSettings(), [id, value])).toBe(expected);
  });

  test("RFC 9113 §6.5.2: a server must not enable push, and may say that it does not", () => {
    expect(apply(new PeerSettings(), [2, 1], true)).toBe(PROTOCOL_ERROR);
    expect(apply(new PeerSettings(), [2, 0], true)).toBe(OK);
    expect(apply(new PeerSettings(), [2, 1])).toBe(OK);
  });

  test("RFC 8441 §3: extended CONNECT is not taken back", () => {
    const settings = new PeerSettings();
    expect(apply(settings, [8, 0])).toBe(OK);
    expect(apply(settings, [8, 1])).toBe(OK);
    expect(apply(settings, [8, 1])).toBe(OK);
    expect(apply(settings, [8, 0])).toBe(PROTOCOL_ERROR);
  });

  test("RFC 9113 §6.5.3: in order, so that the last value of a repeated setting holds", () => {
    const settings = new PeerSettings();
    expect(apply(settings, [4, 100, 4, 1])).toBe(OK);
    expect(settings.initialWindowBytes).toBe(1);
  });

  test("RFC 7541 §4.2: the dip of the table size within one frame is kept", () => {
    const settings = new PeerSettings();
    apply(settings, [1, 0, 1, 8192]);
    expect([settings.headerTableBytesLowest, settings.headerTableBytes]).toEqual([0, 8192]);
    apply(settings, [4, 1]);
    expect([settings.headerTableBytesLowest, settings.headerTableBytes]).toEqual([8192, 8192]);
  });
});
