import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1, textOf } from "../bytes.ts";
import { CODE_MASK, IGNORE, OK, STREAM_ERROR, errorCodes, errorName } from "./error-codes.ts";
import {
  FRAME_HEAD_BYTES,
  GOAWAY_BYTES,
  MAX_31_BITS,
  PING_BYTES,
  PREFACE,
  RST_STREAM_BYTES,
  SETTINGS_ACK_BYTES,
  WINDOW_UPDATE_BYTES,
  flags,
  frameTypes,
  readUint24,
  readUint31,
  readUint32,
  writeFrameHead,
  writeGoaway,
  writePing,
  writeRstStream,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from "./frames.ts";

const hex = (bytes: Uint8Array, end: number): string =>
  [...bytes.subarray(0, end)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

describe("writing frames", () => {
  test("RFC 9113 §4.1: a frame head is length, type, flags, stream id", () => {
    const out = new Uint8Array(12).fill(0xee);
    const end = writeFrameHead(out, 1, 0x012345, frameTypes.HEADERS, flags.END_HEADERS | flags.END_STREAM, 0x7fabcdef);
    expect(end).toBe(1 + FRAME_HEAD_BYTES);
    expect(hex(out, 12)).toBe("ee01234501057fabcdefeeee");
  });

  test("RFC 9113 §6.4: RST_STREAM", () => {
    const out = new Uint8Array(32);
    const end = writeRstStream(out, 0, 5, errorCodes.CANCEL);
    expect(end).toBe(RST_STREAM_BYTES);
    expect(hex(out, end)).toBe("00000403000000000500000008");
  });

  test("RFC 9113 §6.5: SETTINGS in the order given, values above 2^31 too", () => {
    const out = new Uint8Array(32);
    const end = writeSettings(out, 0, [3, 100, 6, 0xffffffff]);
    expect(hex(out, end)).toBe("00000c0400000000000003000000640006ffffffff");
    expect(hex(out, writeSettings(out, 0, []))).toBe("000000040000000000");
  });

  test("RFC 9113 §6.5.3: the acknowledgement is empty", () => {
    const out = new Uint8Array(32);
    expect(writeSettingsAck(out, 0)).toBe(SETTINGS_ACK_BYTES);
    expect(hex(out, SETTINGS_ACK_BYTES)).toBe("000000040100000000");
  });

  test("RFC 9113 §6.7: PING and its answer carry the same eight bytes", () => {
    const out = new Uint8Array(32);
    const from = latin1("..12345678..");
    expect(writePing(out, 0, false, from, 2)).toBe(PING_BYTES);
    expect(hex(out, PING_BYTES)).toBe("0000080600000000003132333435363738");
    writePing(out, 0, true, from, 2);
    expect(hex(out, PING_BYTES)).toBe("0000080601000000003132333435363738");
  });

  test("RFC 9113 §6.8: GOAWAY with debug data", () => {
    const out = new Uint8Array(64);
    const end = writeGoaway(out, 0, MAX_31_BITS, errorCodes.ENHANCE_YOUR_CALM, latin1("calm"));
    expect(end).toBe(GOAWAY_BYTES + 4);
    expect(hex(out, end)).toBe("00000c0700000000007fffffff0000000b63616c6d");
  });

  test("RFC 9113 §6.9: WINDOW_UPDATE", () => {
    const out = new Uint8Array(32);
    expect(writeWindowUpdate(out, 0, 0, MAX_31_BITS)).toBe(WINDOW_UPDATE_BYTES);
    expect(hex(out, WINDOW_UPDATE_BYTES)).toBe("0000040800000000007fffffff");
  });

  test("RFC 9113 §3.4: the preface", () => {
    expect(textOf(PREFACE, 0, PREFACE.length)).toBe("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  });
});

describe("reading numbers", () => {
  test("RFC 9113 §4.1: the reserved bit is ignored", () => {
    expect(readUint31(Uint8Array.of(0xff, 0xff, 0xff, 0xff), 0)).toBe(MAX_31_BITS);
    expect(readUint31(Uint8Array.of(0x80, 0, 0, 1), 0)).toBe(1);
  });

  test("§6.5.1: values are unsigned", () => {
    expect(readUint32(Uint8Array.of(0xff, 0xff, 0xff, 0xff), 0)).toBe(0xffffffff);
    expect(readUint32(Uint8Array.of(0x80, 0, 0, 0), 0)).toBe(0x80000000);
  });

  test("what is written in a head is read back", () => {
    const out = new Uint8Array(9);
    fc.assert(
      fc.property(fc.nat(0xffffff), fc.nat(255), fc.nat(255), fc.nat(MAX_31_BITS), (length, type, flagBits, id) => {
        writeFrameHead(out, 0, length, type, flagBits, id);
        expect([readUint24(out, 0), out[3], out[4], readUint31(out, 5)]).toEqual([length, type, flagBits, id]);
      }),
    );
  });
});

describe("errors as values", () => {
  test("RFC 9113 §7: names of codes, and unknown codes", () => {
    expect(errorName(0)).toBe("NO_ERROR");
    expect(errorName(0xb)).toBe("ENHANCE_YOUR_CALM");
    expect(errorName(0xd)).toBe("HTTP_1_1_REQUIRED");
    expect(errorName(0xe)).toBe("0xe");
    expect(errorName(0xffffffff)).toBe("0xffffffff");
    for (const [name, code] of Object.entries(errorCodes)) expect(errorName(code)).toBe(name);
  });

  test("no error is taken for another verdict", () => {
    for (const code of Object.values(errorCodes)) {
      expect((STREAM_ERROR | code) & CODE_MASK).toBe(code);
      expect(STREAM_ERROR | code).not.toBe(OK);
      expect(STREAM_ERROR | code).not.toBe(IGNORE);
    }
  });
});
