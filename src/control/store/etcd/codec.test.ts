// Our codec against protobufjs reading the same fields from their description.
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { authenticate, leaseGrant, leaseKeepAlive, range, txn, watch } from "./codec.ts";

// The numbers of etcd's public API reference, for the fields that are used here.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Header { int64 revision = 3; }
  message KeyValue { bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3; int64 version = 4; bytes value = 5; }
  message RangeRequest { bytes key = 1; bytes range_end = 2; int64 limit = 3; int64 revision = 4; }
  message RangeResponse { Header header = 1; repeated KeyValue kvs = 2; bool more = 3; int64 count = 4; }
  message PutRequest { bytes key = 1; bytes value = 2; int64 lease = 3; }
  message DeleteRequest { bytes key = 1; bytes range_end = 2; }
  message Op { oneof request { RangeRequest range = 1; PutRequest put = 2; DeleteRequest delete = 3; Txn txn = 4; } }
  message OpResponse { oneof response { RangeResponse range = 1; Header put = 2; Header delete = 3; TxnResponse txn = 4; } }
  message Compare { int32 result = 1; int32 target = 2; bytes key = 3; oneof union { int64 version = 4; int64 mod_revision = 6; } }
  message Txn { repeated Compare compare = 1; repeated Op success = 2; repeated Op failure = 3; }
  message TxnResponse { Header header = 1; bool succeeded = 2; repeated OpResponse responses = 3; }
  message Create { bytes key = 1; bytes range_end = 2; int64 start_revision = 3; bool progress_notify = 4; int64 watch_id = 7; }
  message WatchRequest { oneof request { Create create = 1; } }
  message Event { int32 type = 1; KeyValue kv = 2; KeyValue prev_kv = 3; }
  message WatchResponse {
    Header header = 1; int64 watch_id = 2; bool created = 3; bool canceled = 4; int64 compact_revision = 5;
    string cancel_reason = 6; bool fragment = 7; repeated Event events = 11;
  }
  message Lease { int64 ttl = 1; int64 id = 2; }
  message LeaseResponse { Header header = 1; int64 id = 2; int64 ttl = 3; }
  message Login { string name = 1; string password = 2; }
  message Token { Header header = 1; string token = 2; }
`);

function read(type: string, bytes: Buffer): Record<string, unknown> {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), { longs: Number, bytes: String, arrays: true });
}

function write(type: string, value: object): Buffer {
  const message = root.lookupType(type);
  return Buffer.from(message.encode(message.fromObject(value)).finish());
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const revision = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: "grapheme", minLength: 1 });

describe("requests", () => {
  test("a range, a lease, a login", () => {
    fc.assert(
      fc.property(text, text, revision, (key, end, number) => {
        expect(read("RangeRequest", range.encode({ key, end, limit: 7, revision: number }))).toEqual({
          key: base64(key),
          rangeEnd: base64(end),
          limit: 7,
          revision: number,
        });
        expect(read("Lease", leaseGrant.encode({ id: number, ttlSeconds: 10 }))).toEqual({ id: number, ttl: 10 });
        expect(read("Login", authenticate.encode({ name: key, password: end }))).toEqual({ name: key, password: end });
      }),
    );
    expect(leaseKeepAlive.encode(5)).toEqual(Buffer.from([0x08, 5]));
  });

  test("a transaction: revision 0 is written, it means that the key must not exist", () => {
    const encoded = txn.encode({
      compare: [{ key: "head", modRevision: 0 }],
      success: [
        { kind: "put", key: "a", value: "1", lease: 9 },
        { kind: "delete", key: "b", end: "c" },
        { kind: "txn", txn: { compare: [], success: [{ kind: "put", key: "d", value: "2" }], failure: [] } },
      ],
      failure: [{ kind: "range", range: { key: "e" } }],
    });
    const compare = { target: 2, key: base64("head"), modRevision: 0 };
    const inner = { compare: [], success: [{ put: { key: base64("d"), value: base64("2") } }], failure: [] };
    expect(read("Txn", encoded)).toEqual({
      compare: [compare],
      success: [
        { put: { key: base64("a"), value: base64("1"), lease: 9 } },
        { delete: { key: base64("b"), rangeEnd: base64("c") } },
        { txn: inner },
      ],
      failure: [{ range: { key: base64("e") } }],
    });
  });

  test("a watch", () => {
    expect(read("WatchRequest", watch.encode({ id: 2, key: "a", end: "b", from: 17 }))).toEqual({
      create: { key: base64("a"), rangeEnd: base64("b"), startRevision: 17, watchId: 2 },
    });
  });
});

describe("answers", () => {
  const kv = { key: base64("k"), value: base64("ä"), mod_revision: 5, modRevision: 5, version: 3 };

  test("a range and a transaction, with fields that are not known", () => {
    const answer = { header: { revision: 9 }, kvs: [kv, kv], more: true, count: 2 };
    const one = { key: "k", value: "ä", modRevision: 5 };
    const known = { revision: 9, kvs: [one, one], more: true };
    expect(range.decode(write("RangeResponse", answer))).toEqual(known);
    const responses = [{ put: { revision: 4 } }, { range: answer }];
    expect(txn.decode(write("TxnResponse", { header: { revision: 9 }, succeeded: false, responses }))).toEqual({
      revision: 9,
      succeeded: false,
      ranges: [known],
    });
  });

  test("a watch, a lease, a token", () => {
    const events = [
      { type: 0, kv },
      { type: 1, kv: { key: base64("k"), modRevision: 6 }, prevKv: kv },
    ];
    const said = {
      watchId: 1,
      created: true,
      canceled: true,
      compactRevision: 3,
      cancelReason: "so",
      fragment: true,
      events,
    };
    expect(watch.decode(write("WatchResponse", said))).toEqual({
      id: 1,
      created: true,
      canceled: true,
      compactRevision: 3,
      reason: "so",
      events: [
        { key: "k", value: "ä", modRevision: 5, deleted: false },
        { key: "k", value: "", modRevision: 6, deleted: true },
      ],
    });
    expect(leaseGrant.decode(write("LeaseResponse", { id: 2 ** 47, ttl: 10 }))).toEqual({
      id: 2 ** 47,
      ttlSeconds: 10,
    });
    expect(authenticate.decode(write("Token", { token: "t" }))).toBe("t");
  });

  test("bytes that are none end in an error of their own, or in something harmless", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const method of [range, txn, watch, leaseGrant, authenticate]) {
          try {
            method.decode(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
        }
      }),
    );
  });
});
