// Bodies too large to keep: made as they are sent, hashed as they arrive.
import { type Hash, createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";

const BLOCK_BYTES = 64 * 1024;
/** Odd, so that no two blocks of a body lie alike in any buffer of a power of two. */
const block = randomBytes(BLOCK_BYTES - 17);

/** The bytes of a body of that length, in blocks. */
export function* bodyBlocks(length: number): Generator<Buffer> {
  let left = length;
  for (let n = 0; left > 0; n++) {
    const start = n % 251;
    const part = block.subarray(start, Math.min(block.length, start + left));
    left -= part.length;
    yield part;
  }
}

/** The same as a stream that makes blocks only as they are taken. */
export function bodyStream(length: number): Readable {
  return Readable.from(bodyBlocks(length));
}

/** SHA-256 of such a body. */
export function bodyDigest(length: number): string {
  const hash = createHash("sha256");
  for (const part of bodyBlocks(length)) hash.update(part);
  return hash.digest("hex");
}

/** SHA-256 and length of what a stream gives. */
export async function streamDigest(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ readonly digest: string; readonly length: number }> {
  const hash: Hash = createHash("sha256");
  let length = 0;
  for await (const part of stream) {
    hash.update(part);
    length += part.length;
  }
  return { digest: hash.digest("hex"), length };
}
