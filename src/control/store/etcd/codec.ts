// The messages of messages.ts on etcd's wire: field numbers as in etcd's public API reference
// (https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/). Decoding throws on bytes that are no protobuf; unknown fields are skipped.

import protobuf from "protobufjs/minimal.js";
import { VARINT, eachField, endOf, message, text } from "../../../feed/protobuf.ts";
import type {
  KeyValue,
  Lease,
  Login,
  Operation,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
  WatchEvent,
  WatchRequest,
  WatchResponse,
} from "./messages.ts";

type Reader = protobuf.Reader;
type Writer = protobuf.Writer;

/** `Compare.CompareTarget.MOD`; the result EQUAL is 0. */
const TARGET_MOD = 2;

/** A method of etcd and its messages on the wire. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly encode: (request: Request) => Buffer;
  readonly decode: (bytes: Buffer) => Response;
}

function method<Request, Response>(
  name: string,
  write: (writer: Writer, request: Request) => void,
  read: (reader: Reader, end: number) => Response,
): Method<Request, Response> {
  return {
    path: `/etcdserverpb.${name}`,
    encode: (request) => {
      const writer = protobuf.Writer.create();
      write(writer, request);
      return Buffer.from(writer.finish());
    },
    decode: (bytes) => read(protobuf.Reader.create(bytes), bytes.length),
  };
}

function int(writer: Writer, field: number, value: number): void {
  if (value !== 0) writer.uint32((field << 3) | VARINT).int64(value);
}

function int64(reader: Reader): number {
  return Number(reader.int64());
}

function writeRange(writer: Writer, { key, end = "", limit = 0, revision = 0 }: RangeRequest): void {
  text(writer, 1, key);
  text(writer, 2, end);
  int(writer, 3, limit);
  int(writer, 4, revision);
}

function writeOperation(writer: Writer, operation: Operation): void {
  switch (operation.kind) {
    case "range":
      return message(writer, 1, () => writeRange(writer, operation.range));
    case "put":
      return message(writer, 2, () => {
        text(writer, 1, operation.key);
        text(writer, 2, operation.value);
        int(writer, 3, operation.lease ?? 0);
      });
    case "delete":
      return message(writer, 3, () => {
        text(writer, 1, operation.key);
        text(writer, 2, operation.end ?? "");
      });
    case "txn":
      return message(writer, 4, () => writeTxn(writer, operation.txn));
  }
}

function writeTxn(writer: Writer, { compare, success, failure }: TxnRequest): void {
  for (const { key, modRevision } of compare) {
    message(writer, 1, () => {
      int(writer, 2, TARGET_MOD);
      text(writer, 3, key);
      // Written even when it is 0: it is one of several (`oneof`), and absent would be none of them.
      writer.uint32((6 << 3) | VARINT).int64(modRevision);
    });
  }
  for (const one of success) message(writer, 2, () => writeOperation(writer, one));
  for (const one of failure) message(writer, 3, () => writeOperation(writer, one));
}

function readHeader(reader: Reader, end: number): number {
  let revision = 0;
  eachField(reader, end, (field) => {
    if (field !== 3) return false;
    revision = int64(reader);
    return true;
  });
  return revision;
}

function readKeyValue(reader: Reader, end: number): KeyValue {
  let key = "";
  let value = "";
  let modRevision = 0;
  eachField(reader, end, (field) => {
    if (field === 1) key = reader.string();
    else if (field === 3) modRevision = int64(reader);
    else if (field === 5) value = reader.string();
    else return false;
    return true;
  });
  return { key, value, modRevision };
}

function readRange(reader: Reader, end: number): RangeResponse {
  let revision = 0;
  let more = false;
  const kvs: KeyValue[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) revision = readHeader(reader, endOf(reader));
    else if (field === 2) kvs.push(readKeyValue(reader, endOf(reader)));
    else if (field === 3) more = reader.bool();
    else return false;
    return true;
  });
  return { revision, kvs, more };
}

function readTxn(reader: Reader, end: number): TxnResponse {
  let revision = 0;
  let succeeded = false;
  const ranges: RangeResponse[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) revision = readHeader(reader, endOf(reader));
    else if (field === 2) succeeded = reader.bool();
    else if (field === 3) {
      eachField(reader, endOf(reader), (operation) => {
        if (operation !== 1) return false;
        ranges.push(readRange(reader, endOf(reader)));
        return true;
      });
    } else return false;
    return true;
  });
  return { revision, succeeded, ranges };
}

function readEvent(reader: Reader, end: number): WatchEvent {
  let deleted = false;
  let kv: KeyValue = { key: "", value: "", modRevision: 0 };
  eachField(reader, end, (field) => {
    if (field === 1) deleted = reader.int32() === 1;
    else if (field === 2) kv = readKeyValue(reader, endOf(reader));
    else return false;
    return true;
  });
  return { ...kv, deleted };
}

function readWatch(reader: Reader, end: number): WatchResponse {
  const response = { id: 0, created: false, canceled: false, compactRevision: 0, reason: "" };
  const events: WatchEvent[] = [];
  eachField(reader, end, (field) => {
    if (field === 2) response.id = int64(reader);
    else if (field === 3) response.created = reader.bool();
    else if (field === 4) response.canceled = reader.bool();
    else if (field === 5) response.compactRevision = int64(reader);
    else if (field === 6) response.reason = reader.string();
    else if (field === 11) events.push(readEvent(reader, endOf(reader)));
    else return false;
    return true;
  });
  return { ...response, events };
}

function readLease(reader: Reader, end: number): Lease {
  let id = 0;
  let ttlSeconds = 0;
  eachField(reader, end, (field) => {
    if (field === 2) id = int64(reader);
    else if (field === 3) ttlSeconds = int64(reader);
    else return false;
    return true;
  });
  return { id, ttlSeconds };
}

export const range = method("KV/Range", writeRange, readRange);
export const txn = method("KV/Txn", writeTxn, readTxn);

export const watch = method(
  "Watch/Watch",
  (writer, { id, key, end, from }: WatchRequest) =>
    message(writer, 1, () => {
      text(writer, 1, key);
      text(writer, 2, end);
      int(writer, 3, from);
      int(writer, 7, id);
    }),
  readWatch,
);

export const leaseGrant = method(
  "Lease/LeaseGrant",
  (writer, { id, ttlSeconds }: Lease) => {
    int(writer, 1, ttlSeconds);
    int(writer, 2, id);
  },
  readLease,
);

/** A stream of etcd's; with one request and one answer it is the same on the wire as a call. `ttlSeconds` 0: it has expired. */
export const leaseKeepAlive = method("Lease/LeaseKeepAlive", (writer, id: number) => int(writer, 1, id), readLease);

export const authenticate = method(
  "Auth/Authenticate",
  (writer, { name, password }: Login) => {
    text(writer, 1, name);
    text(writer, 2, password);
  },
  (reader, end) => {
    let token = "";
    eachField(reader, end, (field) => {
      if (field !== 2) return false;
      token = reader.string();
      return true;
    });
    return token;
  },
);
