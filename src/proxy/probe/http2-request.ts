// One request over HTTP/2 with prior knowledge (RFC 9113 §3.3), or behind ALPN, and the head of its answer.
import { copyBytes } from "../../protocol/bytes.ts";
import { FieldTable } from "../../protocol/field-table.ts";
import { DECODED, HpackDecoder } from "../../protocol/hpack/decoder.ts";
import { HpackEncoder } from "../../protocol/hpack/encoder.ts";
import { FieldBlock } from "../../protocol/hpack/field.ts";
import { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { OK, errorName } from "../../protocol/http2/error-codes.ts";
import { http2Fields } from "../../protocol/http2/field-ids.ts";
import { Payload, checkFrameHead, readHeadersPayload } from "../../protocol/http2/frame-check.ts";
import {
  FRAME_BYTES_DEFAULT,
  FRAME_HEAD_BYTES,
  PREFACE,
  SETTING_BYTES,
  flags,
  frameTypes,
  readUint24,
  readUint31,
  readUint32,
  writeFrameHead,
  writePing,
  writeSettings,
  writeSettingsAck,
} from "../../protocol/http2/frames.ts";
import { ownField } from "../../protocol/http2/own-field.ts";
import { settingIds } from "../../protocol/http2/settings.ts";
import { BODY_BYTES_MAX, NoAnswerError, type ProbeAnswer, isOwn } from "./answer.ts";
import type { ProbeHead } from "./head.ts";
import type { Line } from "./line.ts";

const STREAM = 1;
const TABLE_BYTES = 4096;
const blockLimits = { listBytesMax: 64 * 1024, countMax: 1000 };

/** What is asked. Default: GET of the head's path. */
export interface Http2Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Undefined: none. */
  readonly body: Uint8Array | undefined;
}

/** `GET` with the head. */
export function getOf({ path }: ProbeHead): Http2Question {
  return { method: "GET", path, fields: [], body: undefined };
}

/**
 * `grpc.health.v1.Health/Check`, which most servers have; one that does not says so in a status, which is an answer.
 *
 * @param service whose health is asked for; "" is the server's.
 */
export function healthCheckOf(service: string): Http2Question {
  const name = new TextEncoder().encode(service);
  // HealthCheckRequest { string service = 1 }, behind a byte for "not compressed" and the length.
  const message = name.length === 0 ? [] : [0x0a, ...varint(name.length), ...name];
  return {
    method: "POST",
    path: "/grpc.health.v1.Health/Check",
    fields: [
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ],
    body: Uint8Array.from([0, 0, 0, message.length >>> 8, message.length & 0xff, ...message]),
  };
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >>> 7];
}

/** Sends the request and reads the head of its answer. */
export async function requestHttp2(
  line: Line,
  head: ProbeHead,
  question: Http2Question,
  scheme: "http" | "https",
): Promise<ProbeAnswer> {
  line.write(requestBytes(head, question, scheme));
  const client = new Client(line);
  for (;;) {
    const piece = await line.next();
    if (piece === undefined) throw new NoAnswerError("the connection was closed without an answer", true);
    const answer = client.take(piece);
    if (answer !== undefined) return answer;
  }
}

function requestBytes(head: ProbeHead, { method, path, fields, body }: Http2Question, scheme: string): Uint8Array {
  const all = [
    [":method", method],
    [":scheme", scheme],
    [":authority", head.authority],
    [":path", path],
    ...head.fields,
    ...fields,
  ] as const;
  const made = all.map(([name, value]) => ownField(name, value));
  const bytesMax = made.reduce((sum, field) => sum + field.size, 0) + (body?.length ?? 0);
  const out = new Uint8Array(PREFACE.length + 4 * FRAME_HEAD_BYTES + 2 * SETTING_BYTES + bytesMax + 64);
  let at = copyBytes(PREFACE, 0, PREFACE.length, out, 0);
  at = writeSettings(out, at, [settingIds.ENABLE_PUSH, 0, settingIds.HEADER_TABLE_SIZE, TABLE_BYTES]);
  const encoder = new HpackEncoder(TABLE_BYTES);
  const from = at + FRAME_HEAD_BYTES;
  let end = encoder.begin(out, from);
  for (const field of made) end = encoder.write(field, out, end);
  const ends = body === undefined ? flags.END_STREAM : 0;
  writeFrameHead(out, at, end - from, frameTypes.HEADERS, flags.END_HEADERS | ends, STREAM);
  if (body !== undefined) {
    const bodyAt = writeFrameHead(out, end, body.length, frameTypes.DATA, flags.END_STREAM, STREAM);
    end = copyBytes(body, 0, body.length, out, bodyAt);
  }
  return out.subarray(0, end);
}

/** The client's side of a connection that has one stream. */
class Client {
  readonly #line: Line;
  readonly #decoder = new HpackDecoder(new StaticFields(new FieldTable([], http2Fields)), TABLE_BYTES);
  readonly #payload = new Payload();
  #bytes = Buffer.alloc(0);
  /** The fragments of a header block that is not complete. */
  #fragments: Uint8Array[] = [];
  #openId = 0;
  #ends = false;
  /** The head of an answer whose body is of interest. */
  #head: { readonly status: number; readonly fields: ProbeAnswer["fields"] } | undefined;
  #body = "";

  constructor(line: Line) {
    this.#line = line;
  }

  /** The answer, once it is there. */
  take(piece: Buffer): ProbeAnswer | undefined {
    this.#bytes = Buffer.concat([this.#bytes, piece]);
    while (this.#bytes.length >= FRAME_HEAD_BYTES) {
      const bytes = this.#bytes;
      const length = readUint24(bytes, 0);
      const type = bytes[3] as number;
      const flagBits = bytes[4] as number;
      const id = readUint31(bytes, 5);
      if (checkFrameHead(type, flagBits, id, length, FRAME_BYTES_DEFAULT, this.#openId) !== OK) {
        throw new NoAnswerError("no HTTP/2 came back", true);
      }
      if (bytes.length < FRAME_HEAD_BYTES + length) return undefined;
      this.#bytes = bytes.subarray(FRAME_HEAD_BYTES + length);
      const answer = this.#frame(type, flagBits, id, bytes.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + length));
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  #frame(type: number, flagBits: number, id: number, payload: Buffer): ProbeAnswer | undefined {
    switch (type) {
      case frameTypes.SETTINGS:
        if ((flagBits & flags.ACK) === 0) this.#write(9, (out) => writeSettingsAck(out, 0));
        return undefined;
      case frameTypes.PING:
        if ((flagBits & flags.ACK) === 0) this.#write(17, (out) => writePing(out, 0, true, payload, 0));
        return undefined;
      case frameTypes.HEADERS: {
        const error = readHeadersPayload(this.#payload, payload, 0, payload.length, flagBits, id);
        if (error !== OK) throw new NoAnswerError("no HTTP/2 came back", true);
        this.#fragments = [payload.subarray(this.#payload.start, this.#payload.end)];
        this.#ends = (flagBits & flags.END_STREAM) !== 0;
        return this.#block(flagBits, id);
      }
      case frameTypes.CONTINUATION:
        this.#fragments.push(payload);
        if (this.#fragments.length > 8) throw new NoAnswerError("the head of the answer has no end", false);
        return this.#block(flagBits, id);
      case frameTypes.DATA:
        return this.#data(payload, flagBits);
      case frameTypes.RST_STREAM:
        return this.#ended(`the stream was reset (${errorName(readUint32(payload, 0))})`);
      case frameTypes.GOAWAY:
        // That of a server which goes, and answers what it has begun, names our stream.
        if (readUint31(payload, 0) >= STREAM) return undefined;
        return this.#ended(`the connection was closed (${errorName(readUint32(payload, 4))})`);
      default:
        return undefined;
    }
  }

  #write(length: number, write: (out: Uint8Array) => void): void {
    const out = new Uint8Array(length);
    write(out);
    this.#line.write(out);
  }

  #block(flagBits: number, id: number): ProbeAnswer | undefined {
    if ((flagBits & flags.END_HEADERS) === 0) {
      this.#openId = id;
      return undefined;
    }
    this.#openId = 0;
    const bytes = Buffer.concat(this.#fragments);
    const block = new FieldBlock();
    if (this.#decoder.decode(bytes, 0, bytes.length, block, blockLimits) !== DECODED) {
      throw new NoAnswerError(`the head of the answer cannot be read: ${this.#decoder.errorDetail}`, false);
    }
    const fields = textsOf(block);
    const status = Number(fields.get(":status")?.[0] ?? 0);
    // Trailers have none, interim answers are not the last.
    if (status < 200) return this.#ends ? this.#ended("the answer has no status") : undefined;
    if (!isOwn(fields) || this.#ends) return { status, fields, body: "" };
    this.#head = { status, fields };
    return undefined;
  }

  #data(payload: Buffer, flagBits: number): ProbeAnswer | undefined {
    // Ours are not padded.
    this.#body += payload.toString();
    const ends = (flagBits & flags.END_STREAM) !== 0 || this.#body.length > BODY_BYTES_MAX;
    return ends ? this.#ended("the answer has no head") : undefined;
  }

  #ended(why: string): ProbeAnswer {
    if (this.#head !== undefined) return { ...this.#head, body: this.#body };
    throw new NoAnswerError(why, true);
  }
}

function textsOf(block: FieldBlock): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, string[]>();
  for (let i = 0; i < block.count; i++) {
    const field = block.fields[i];
    if (field === undefined) break;
    const bytes = Buffer.from(field.bytes);
    const name = bytes.toString("latin1", field.nameStart, field.nameEnd);
    const value = bytes.toString("latin1", field.valueStart, field.valueEnd);
    fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  return fields;
}
