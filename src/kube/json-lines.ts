/** Longest line: an object has at most 1.5 MiB in etcd, some more as JSON. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;

/** The values of a stream with one JSON value a line. Throws on a line that is none; one that is cut off at the end is dropped. */
export async function* readJsonLines(chunks: AsyncIterable<Buffer>): AsyncGenerator {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at));
      const line = Buffer.concat(parts).toString("utf8");
      parts = [];
      length = 0;
      from = at + 1;
      if (line.trim() !== "") yield JSON.parse(line);
    }
    if (from === chunk.length) continue;
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > LINE_BYTES_MAX) throw new Error("a line of the stream has no end");
  }
}
