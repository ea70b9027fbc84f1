// What a peer told us about itself in SETTINGS frames (RFC 9113 §6.5), applied in the order received.
import { OK, errorCodes } from "./error-codes.ts";
import { FRAME_BYTES_DEFAULT, MAX_31_BITS, SETTING_BYTES, readUint32 } from "./frames.ts";

/** Identifiers of settings (RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1). */
export const settingIds = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
  ENABLE_CONNECT_PROTOCOL: 0x8,
  NO_RFC7540_PRIORITIES: 0x9,
} as const;

/** The initial window of streams and of the connection (RFC 9113 §6.9.2). */
export const WINDOW_BYTES_DEFAULT = 65_535;
const FRAME_BYTES_MAX = 0xffffff;

/** The settings of the peer; the defaults hold until its first SETTINGS frame arrives. */
export class PeerSettings {
  /** Capacity of the table that it decodes with: the bound of our encoder. */
  headerTableBytes = 4096;
  enablePush = true;
  /** Streams that we may have open; no limit is Infinity. */
  maxConcurrentStreams = Number.POSITIVE_INFINITY;
  initialWindowBytes = WINDOW_BYTES_DEFAULT;
  maxFrameBytes = FRAME_BYTES_DEFAULT;
  /** Advisory (RFC 9113 §6.5.2); no limit is Infinity. */
  headerListBytesMax = Number.POSITIVE_INFINITY;
  /** RFC 8441 §3: it accepts extended CONNECT. */
  enableConnectProtocol = false;
  /** The lowest HEADER_TABLE_SIZE of the last frame: the encoder has to signal a dip as well (RFC 7541 §4.2). */
  headerTableBytesLowest = 4096;

  /**
   * Applies the payload of a SETTINGS frame whose head has been checked (its length is a multiple of 6), in order.
   * Unknown settings are ignored (RFC 9113 §6.5.2).
   *
   * @param fromServer the peer is a server, which must not enable push.
   * @returns OK, or the connection error.
   */
  apply(bytes: Uint8Array, start: number, end: number, fromServer = false): number {
    this.headerTableBytesLowest = this.headerTableBytes;
    for (let at = start; at + SETTING_BYTES <= end; at += SETTING_BYTES) {
      const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
      const value = readUint32(bytes, at + 2);
      switch (id) {
        case settingIds.HEADER_TABLE_SIZE:
          this.headerTableBytes = value;
          if (value < this.headerTableBytesLowest) this.headerTableBytesLowest = value;
          break;
        case settingIds.ENABLE_PUSH:
          if (value > 1 || (value === 1 && fromServer)) return errorCodes.PROTOCOL_ERROR;
          this.enablePush = value === 1;
          break;
        case settingIds.MAX_CONCURRENT_STREAMS:
          this.maxConcurrentStreams = value;
          break;
        case settingIds.INITIAL_WINDOW_SIZE:
          if (value > MAX_31_BITS) return errorCodes.FLOW_CONTROL_ERROR;
          this.initialWindowBytes = value;
          break;
        case settingIds.MAX_FRAME_SIZE:
          if (value < FRAME_BYTES_DEFAULT || value > FRAME_BYTES_MAX) return errorCodes.PROTOCOL_ERROR;
          this.maxFrameBytes = value;
          break;
        case settingIds.MAX_HEADER_LIST_SIZE:
          this.headerListBytesMax = value;
          break;
        case settingIds.ENABLE_CONNECT_PROTOCOL:
          // RFC 8441 §3: not taken back once given.
          if (value > 1 || (value === 0 && this.enableConnectProtocol)) return errorCodes.PROTOCOL_ERROR;
          this.enableConnectProtocol = value === 1;
          break;
        default:
          break;
      }
    }
    return OK;
  }
}
