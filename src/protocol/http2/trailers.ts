// Trailers (RFC 9113 §8.1, RFC 9110 §6.5): the last HEADERS frame of a message, which ends the stream.
import { COLON } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import type { Field, FieldBlock } from "../hpack/field.ts";
import { type Fault, faultOfField, faults } from "./faults.ts";
import { fieldIds } from "./field-ids.ts";

/** What trailers said. One object is reused for all trailers of a process. */
export class Http2Trailers {
  fault: Fault = faults.none;
  grpcStatus: Field | undefined = undefined;
}

/**
 * Checks trailers and takes out of the block what must not be taken from trailers: framing, routing, authentication,
 * request modifiers (RFC 9110 §6.5.1). A recipient that merges them into the head would let them in by the back door.
 *
 * @param endStream the HEADERS frame has END_STREAM.
 * @param ofRequest routing keys are taken out, too.
 * @returns false when something is wrong with them (`trailers.fault`).
 */
export function readTrailers(
  trailers: Http2Trailers,
  block: FieldBlock,
  endStream: boolean,
  ofRequest: boolean,
): boolean {
  trailers.grpcStatus = undefined;
  if (!endStream) return refuse(trailers, faults.trailersGoOn);
  const fields = block.fields;
  const count = block.count;
  let kept = 0;
  for (let i = 0; i < count; i++) {
    // Below `count` there is a field.
    const field = fields[i] as Field;
    if (field.fault !== 0) return refuse(trailers, faultOfField(field.fault));
    if (field.bytes[field.nameStart] === COLON) return refuse(trailers, faults.pseudoInTrailers);
    const kind = field.kind;
    if (fixedId(kind) === fieldIds.connectionSpecific) return refuse(trailers, faults.connectionSpecific);
    if (fixedId(kind) === fieldIds.grpcStatus) trailers.grpcStatus ??= field;
    if (kind !== fieldIds.plain && isForbidden(kind, ofRequest)) {
      block.listBytes -= field.size;
      continue;
    }
    fields[kept++] = field;
  }
  block.count = kept;
  return true;
}

function isForbidden(kind: number, ofRequest: boolean): boolean {
  // What names a trace decides nothing.
  if (ofRequest && kind >= fieldIds.watched && fixedId(kind) !== fieldIds.volatile) return true;
  switch (fixedId(kind)) {
    case fieldIds.host:
    case fieldIds.contentLength:
    case fieldIds.contentType:
    case fieldIds.te:
    case fieldIds.via:
    case fieldIds.expect:
    case fieldIds.maxForwards:
    case fieldIds.debug:
    case fieldIds.grpcTimeout:
    case fieldIds.cookie:
    case fieldIds.authorization:
      return true;
    default:
      return false;
  }
}

function refuse(trailers: Http2Trailers, fault: Fault): false {
  trailers.fault = fault;
  return false;
}
