// The rules that need no more than the head of a frame (RFC 9113 §4.2, §4.3, §6), and padding and priority inside payloads.
// Checked before the payload is there, so that a frame that is too large is refused and not waited for.
import { OK, STREAM_ERROR, errorCodes } from "./error-codes.ts";
import { flags, frameTypes, readUint31 } from "./frames.ts";

/** Bytes of the priority fields of a HEADERS frame and of a PRIORITY frame (RFC 9113 §6.2, §6.3). */
const PRIORITY_BYTES = 5;

/**
 * Checks the head of a frame that came in.
 *
 * Every size error but that of PRIORITY ends the connection: for frames that alter its state RFC 9113 §4.2 demands it, for
 * DATA §5.4 permits it.
 *
 * @param streamId without the reserved bit.
 * @param length of the payload.
 * @param maxFrameBytes our SETTINGS_MAX_FRAME_SIZE.
 * @param expectingContinuationOf the stream whose header block is not complete yet; 0: none.
 * @returns OK or an error (error-codes.ts).
 */
export function checkFrameHead(
  type: number,
  flagBits: number,
  streamId: number,
  length: number,
  maxFrameBytes: number,
  expectingContinuationOf: number,
): number {
  // §4.2: for unknown types as well.
  if (length > maxFrameBytes) return errorCodes.FRAME_SIZE_ERROR;
  if (expectingContinuationOf !== 0) {
    // §4.3, §6.10, and §5.5 for unknown types: nothing may stand between the frames of a header block.
    return type === frameTypes.CONTINUATION && streamId === expectingContinuationOf ? OK : errorCodes.PROTOCOL_ERROR;
  }
  switch (type) {
    case frameTypes.DATA:
      if (streamId === 0) return errorCodes.PROTOCOL_ERROR;
      return (flagBits & flags.PADDED) !== 0 && length === 0 ? errorCodes.FRAME_SIZE_ERROR : OK;
    case frameTypes.HEADERS: {
      if (streamId === 0) return errorCodes.PROTOCOL_ERROR;
      const padded = (flagBits & flags.PADDED) !== 0 ? 1 : 0;
      const priority = (flagBits & flags.PRIORITY) !== 0 ? PRIORITY_BYTES : 0;
      return length < padded + priority ? errorCodes.FRAME_SIZE_ERROR : OK;
    }
    case frameTypes.PRIORITY:
      if (streamId === 0) return errorCodes.PROTOCOL_ERROR;
      // §6.3: the one size error that concerns a stream only.
      return length === PRIORITY_BYTES ? OK : STREAM_ERROR | errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.RST_STREAM:
      if (streamId === 0) return errorCodes.PROTOCOL_ERROR;
      return length === 4 ? OK : errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.SETTINGS:
      if (streamId !== 0) return errorCodes.PROTOCOL_ERROR;
      if ((flagBits & flags.ACK) !== 0) return length === 0 ? OK : errorCodes.FRAME_SIZE_ERROR;
      return length % 6 === 0 ? OK : errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.PUSH_PROMISE:
      // §6.6, §8.4: clients never push; servers must not push to us, as our first frame switches it off.
      return errorCodes.PROTOCOL_ERROR;
    case frameTypes.PING:
      if (streamId !== 0) return errorCodes.PROTOCOL_ERROR;
      return length === 8 ? OK : errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.GOAWAY:
      if (streamId !== 0) return errorCodes.PROTOCOL_ERROR;
      return length >= 8 ? OK : errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.WINDOW_UPDATE:
      return length === 4 ? OK : errorCodes.FRAME_SIZE_ERROR;
    case frameTypes.CONTINUATION:
      // §6.10: no header block is open.
      return errorCodes.PROTOCOL_ERROR;
    default:
      // §5.5: unknown frames are ignored.
      return OK;
  }
}

/** What is left of the payload of a HEADERS frame without padding and priority. One is reused for all frames of a process. */
export class Payload {
  start = 0;
  end = 0;
}

/**
 * Finds the fragment of the header block in the payload of a HEADERS frame whose head has been checked (RFC 9113 §6.2).
 *
 * @returns OK, a connection error, or a stream error; after a stream error the range is right and has to be decoded all the
 *   same, since the HPACK state depends on it (§4.3).
 */
export function readHeadersPayload(
  payload: Payload,
  bytes: Uint8Array,
  start: number,
  end: number,
  flagBits: number,
  streamId: number,
): number {
  payload.start = start;
  payload.end = end;
  if ((flagBits & (flags.PADDED | flags.PRIORITY)) === 0) return OK;
  if ((flagBits & flags.PADDED) !== 0) {
    const error = dropPadding(payload, bytes);
    if (error !== OK) return error;
  }
  if ((flagBits & flags.PRIORITY) === 0) return OK;
  const dependency = payload.start;
  payload.start += PRIORITY_BYTES;
  if (payload.start > payload.end) return errorCodes.PROTOCOL_ERROR;
  return checkDependency(bytes, dependency, streamId);
}

/**
 * A stream that depends on itself. RFC 9113 §5.3.2 no longer gives the field a meaning, but the HTTP/2 before it made this
 * a stream error, and no peer that is right sends it. In a PRIORITY frame it may name an idle stream, which cannot be reset
 * (§6.4): there it has to end the connection.
 *
 * @param at where the dependency stands: the start of a PRIORITY payload.
 */
export function checkDependency(bytes: Uint8Array, at: number, streamId: number): number {
  return readUint31(bytes, at) === streamId ? STREAM_ERROR | errorCodes.PROTOCOL_ERROR : OK;
}

/** §6.2: padding that takes the whole payload or more is a connection error. */
function dropPadding(payload: Payload, bytes: Uint8Array): number {
  const padBytes = bytes[payload.start] as number;
  payload.start++;
  payload.end -= padBytes;
  return payload.end < payload.start ? errorCodes.PROTOCOL_ERROR : OK;
}
