// The head of a response (RFC 9113 §8.1, §8.3.2).
import { COLON, DIGIT_0, NOT_A_NUMBER } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import type { Field, FieldBlock } from "../hpack/field.ts";
import { type Fault, faultOfField, faults } from "./faults.ts";
import { fieldIds } from "./field-ids.ts";
import { TRAILERS, decimalOf, isGrpcType, valueIs } from "./field-value.ts";

/** A response head that was read. One object is reused for all heads of a process; fields live longer and may be kept. */
export class Http2ResponseHead {
  fault: Fault = faults.none;
  /** 100 to 999. */
  status = 0;
  /** 1xx: another head follows. */
  interim = false;
  /** -1 when there is no Content-Length, or none that counts. */
  contentLength = -1;
  isGrpc = false;
  /** In the head: a trailers-only answer. */
  grpcStatus: Field | undefined = undefined;

  /** Forgets the previous head. */
  reset(): void {
    this.status = 0;
    this.interim = false;
    this.contentLength = -1;
    this.isGrpc = false;
    this.grpcStatus = undefined;
  }
}

/**
 * Reads a response head. A Content-Length where there must be none (RFC 9110 §8.6, §9.3.6) is taken out of the block: who
 * believes it waits for a body that does not come.
 *
 * @param endStream the HEADERS frame has END_STREAM.
 * @param toConnect the request was an extended CONNECT: a 2xx opens a tunnel.
 * @returns false when something is wrong with it (`head.fault`).
 */
export function readResponseHead(
  head: Http2ResponseHead,
  block: FieldBlock,
  endStream: boolean,
  toConnect: boolean,
): boolean {
  head.reset();
  const fields = block.fields;
  const count = block.count;
  let regular = false;
  let lengthAt = -1;
  for (let i = 0; i < count; i++) {
    // Below `count` there is a field.
    const field = fields[i] as Field;
    if (field.fault !== 0) return refuse(head, faultOfField(field.fault));
    const kind = fixedId(field.kind);
    if (kind === fieldIds.status) {
      if (regular) return refuse(head, faults.pseudoLate);
      if (head.status !== 0) return refuse(head, faults.pseudoRepeated);
      head.status = statusOf(field);
      if (head.status === 0) return refuse(head, faults.status);
      continue;
    }
    if (field.bytes[field.nameStart] === COLON) return refuse(head, faults.pseudoUnknown);
    regular = true;
    if (kind === fieldIds.plain) continue;
    switch (kind) {
      case fieldIds.contentLength: {
        const bytes = head.contentLength === -1 ? decimalOf(field) : NOT_A_NUMBER;
        if (bytes === NOT_A_NUMBER) return refuse(head, faults.contentLength);
        head.contentLength = bytes;
        lengthAt = i;
        break;
      }
      case fieldIds.contentType:
        head.isGrpc = isGrpcType(field);
        break;
      case fieldIds.grpcStatus:
        head.grpcStatus ??= field;
        break;
      case fieldIds.te:
        if (!valueIs(field, TRAILERS)) return refuse(head, faults.te);
        break;
      case fieldIds.connectionSpecific:
        return refuse(head, faults.connectionSpecific);
      default:
        break;
    }
  }
  const status = head.status;
  if (status === 0) return refuse(head, faults.statusMissing);
  head.interim = status < 200;
  if (status === 101) return refuse(head, faults.switching);
  if (head.interim && endStream) return refuse(head, faults.interimEnds);
  if (lengthAt >= 0) {
    const tunnel = toConnect && status >= 200 && status < 300;
    if (tunnel || head.interim || (status === 204 && head.contentLength > 0)) {
      removeField(block, lengthAt);
      head.contentLength = -1;
    }
  }
  return true;
}

/** Takes one field out of the block. */
function removeField(block: FieldBlock, at: number): void {
  const fields = block.fields;
  block.listBytes -= (fields[at] as Field).size;
  block.count--;
  for (let i = at; i < block.count; i++) fields[i] = fields[i + 1] as Field;
}

/** Three digits, the first not 0 (RFC 9110 §15); 0 otherwise. */
function statusOf(field: Field): number {
  const at = field.valueStart;
  if (field.valueEnd - at !== 3) return 0;
  const hundreds = (field.bytes[at] as number) - DIGIT_0;
  const tens = (field.bytes[at + 1] as number) - DIGIT_0;
  const ones = (field.bytes[at + 2] as number) - DIGIT_0;
  if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

function refuse(head: Http2ResponseHead, fault: Fault): false {
  head.fault = fault;
  return false;
}
