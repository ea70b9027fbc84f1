// One request over HTTP/1.1 and the head of its answer.
import { latin1, textOf } from "../../protocol/bytes.ts";
import { FieldTable } from "../../protocol/field-table.ts";
import { http1Fields } from "../../protocol/http1/field-ids.ts";
import { FAULTY, INCOMPLETE } from "../../protocol/http1/head.ts";
import { ResponseHead, parseResponseHead } from "../../protocol/http1/response-head.ts";
import { BODY_BYTES_MAX, NoAnswerError, type ProbeAnswer, isOwn } from "./answer.ts";
import type { ProbeHead } from "./head.ts";
import type { Line } from "./line.ts";

const limits = { headBytesMax: 64 * 1024, headerCountMax: 1000, uriBytesMax: 8192 };
const table = new FieldTable([], http1Fields);

/** Sends the request and reads the head of its answer. */
export async function requestHttp1(line: Line, head: ProbeHead): Promise<ProbeAnswer> {
  const lines = [
    `GET ${head.path} HTTP/1.1`,
    `host: ${head.authority}`,
    ...head.fields.map(([name, value]) => `${name}: ${value}`),
    "connection: close",
  ];
  line.write(latin1(`${lines.join("\r\n")}\r\n\r\n`));
  const response = new ResponseHead();
  let bytes = Buffer.alloc(0);
  let at = 0;
  for (;;) {
    const piece = await line.next();
    if (piece === undefined) throw new NoAnswerError("the connection was closed without an answer", true);
    bytes = Buffer.concat([bytes, piece]);
    let after = 0;
    do {
      // Room for the sentinel that the parser puts behind the last byte.
      const room = Buffer.concat([bytes, Buffer.alloc(1)]);
      after = parseResponseHead(response, room, at, bytes.length, table, limits, false);
      if (after === FAULTY) throw new NoAnswerError(`no HTTP/1.1 came back: ${response.fault.detail}`, true);
      if (after !== INCOMPLETE) at = after;
    } while (after !== INCOMPLETE && response.status < 200);
    if (after === INCOMPLETE) continue;
    const fields = fieldsOf(textOf(bytes, response.fieldsStart, response.fieldsEnd));
    const body = isOwn(fields) ? await readBody(line, bytes.subarray(after), response.contentLength) : "";
    return { status: response.status, fields, body };
  }
}

/** The lines have been checked by the parser. */
function fieldsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, string[]>();
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon === -1) continue;
    const name = line.slice(0, colon).trim().toLowerCase();
    fields.set(name, [...(fields.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return fields;
}

async function readBody(line: Line, begun: Buffer, length: number): Promise<string> {
  let bytes = begun;
  const wanted = Math.min(Math.max(length, 0), BODY_BYTES_MAX);
  while (bytes.length < wanted) {
    const piece = await line.next();
    if (piece === undefined) break;
    bytes = Buffer.concat([bytes, piece]);
  }
  return bytes.subarray(0, wanted).toString();
}
