// Huffman coded strings (RFC 7541 §5.2). What text is made of has codes of 5 to 10 bits: a table indexed by the next twelve bits
// gives one such symbol, or two when both fit, which is the rule. (Ten bits would make a table of 4 KiB instead of 16, and
// take a quarter longer.) The rest (controls, bytes above 0x7e, a few marks) has longer codes, and is read bit by bit.
import { DELETE, SPACE } from "../bytes.ts";
import {
  CODE_BITS_MAX,
  CODE_BITS_MIN,
  END_OF_STRING,
  codeBits,
  countOf,
  firstAt,
  firstCode,
  symbolsInOrder,
} from "./huffman-code.ts";

const PEEK_BITS = 12;
const PEEK_MASK = (1 << PEEK_BITS) - 1;

/**
 * By the next bits: first symbol | second symbol << 8 | bits of all << 16 | bits of the first << 20 | symbols << 24; 0 when the
 * code is longer.
 */
const peeks: Uint32Array = new Uint32Array(1 << PEEK_BITS);
for (let bits = 0; bits <= PEEK_MASK; bits++) {
  const first = symbolAtTop(bits, PEEK_BITS);
  if (first < 0) continue;
  const firstBits = codeBits[first] as number;
  const rest = PEEK_BITS - firstBits;
  const second = symbolAtTop(bits & ((1 << rest) - 1), rest);
  peeks[bits] =
    second < 0
      ? first | (firstBits << 16) | (firstBits << 20) | (1 << 24)
      : first | (second << 8) | ((firstBits + (codeBits[second] as number)) << 16) | (firstBits << 20) | (2 << 24);
}

/** The symbol whose code the top of these `count` bits is, -1 when no code is so short. */
function symbolAtTop(bits: number, count: number): number {
  for (let length = CODE_BITS_MIN; length <= count; length++) {
    const past = (bits >>> (count - length)) - (firstCode[length] as number);
    if (past >= 0 && past < (countOf[length] as number))
      return symbolsInOrder[(firstAt[length] as number) + past] as number;
  }
  return -1;
}

/** What `huffmanDecode` returns for a string that RFC 7541 §5.2 forbids: a wrong padding, or an end-of-string symbol inside. */
export const BAD_HUFFMAN = -1;

/** How many bytes a coded string of so many can decode to at most, and the one that decoding may write behind them. */
export function decodedBytesMax(codedBytes: number): number {
  return ((codedBytes * 8) / CODE_BITS_MIN + 1) | 0;
}

/** How many bytes a coded string of so many decodes to at least. */
export function decodedBytesMin(codedBytes: number): number {
  // The last seven bits may be padding.
  return ((codedBytes * 8 - 7) / CODE_BITS_MAX) | 0;
}

/** Decodes Huffman strings, and remembers what it saw. */
export class HuffmanDecoder {
  /** Whether the last string had a control character: these have long codes, so that noticing them costs the others nothing. */
  sawControl = false;

  /**
   * Decodes `bytes[start, end)` to `out[at...]`, which has room for `decodedBytesMax`.
   * @returns the offset behind the last byte written, or BAD_HUFFMAN.
   */
  decode(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
    this.sawControl = false;
    let from = start;
    let to = at;
    // The low `have` bits of `bits` are not decoded yet; what is above them is stale.
    let bits = 0;
    let have = 0;
    while (from < end) {
      if (from + 1 < end) {
        bits = (bits << 16) | ((bytes[from] as number) << 8) | (bytes[from + 1] as number);
        have += 16;
        from += 2;
      } else {
        bits = (bits << 8) | (bytes[from++] as number);
        have += 8;
      }
      while (have >= PEEK_BITS) {
        const peek = peeks[(bits >>> (have - PEEK_BITS)) & PEEK_MASK] as number;
        if (peek === 0) {
          // A long code may need more bits than are at hand: go by bit positions of the string.
          const bitFrom = (from - start) * 8 - have;
          const long = longCode(bytes, start, end, bitFrom);
          const symbol = long & 0xffff;
          // Nothing as long as this is left over by a right padding.
          if (long === 0 || symbol === END_OF_STRING) return BAD_HUFFMAN;
          if (symbol < SPACE || symbol === DELETE) this.sawControl = true;
          out[to++] = symbol;
          const bitTo = bitFrom + (long >>> 16);
          from = start + (bitTo >>> 3);
          have = 0;
          if ((bitTo & 7) !== 0) {
            bits = bytes[from++] as number;
            have = 8 - (bitTo & 7);
          }
          continue;
        }
        out[to] = peek;
        out[to + 1] = peek >>> 8;
        to += peek >>> 24;
        have -= (peek >>> 16) & 15;
      }
    }
    // Too few bits for a whole look are left: symbols, then the padding.
    while (have >= CODE_BITS_MIN) {
      const peek = peeks[((bits << (PEEK_BITS - have)) | (PEEK_MASK >>> have)) & PEEK_MASK] as number;
      const firstBits = (peek >>> 20) & 15;
      if (peek === 0 || firstBits > have) break;
      out[to++] = peek;
      have -= firstBits;
    }
    const padding = (1 << have) - 1;
    return have < 8 && (bits & padding) === padding ? to : BAD_HUFFMAN;
  }
}

/** The code of more bits than one look takes that begins at bit `bitFrom` of the string: symbol | bits << 16, or 0 when the string ends inside. */
function longCode(bytes: Uint8Array, start: number, end: number, bitFrom: number): number {
  const from = start + (bitFrom >>> 3);
  const shift = bitFrom & 7;
  // 32 bits from there on; zeros behind the end complete no code that is not there, since its length is checked.
  let window = 0;
  for (let i = 0; i < 4; i++) window = (window << 8) | (from + i < end ? (bytes[from + i] as number) : 0);
  if (shift !== 0) window = (window << shift) | ((from + 4 < end ? (bytes[from + 4] as number) : 0) >>> (8 - shift));
  const left = (end - start) * 8 - bitFrom;
  for (let length = PEEK_BITS + 1; length <= CODE_BITS_MAX && length <= left; length++) {
    const past = (window >>> (32 - length)) - (firstCode[length] as number);
    if (past >= 0 && past < (countOf[length] as number)) {
      return (symbolsInOrder[(firstAt[length] as number) + past] as number) | (length << 16);
    }
  }
  return 0;
}
