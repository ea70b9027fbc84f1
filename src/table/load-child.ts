// Entry of the short-lived process that loads one table; see load-off-loop.ts. Arguments: name of the file, known
// digests. In: the bytes of the file. Out: one line of JSON, then the bytes of the image if there is one.

import { writeFile } from "node:fs/promises";
import { arrayBuffer } from "node:stream/consumers";
import { loadBytes } from "./load-bytes.ts";
import { partsOf } from "./load-off-loop.ts";

try {
  // When the memory of the container runs out, this process is the one to end.
  await writeFile("/proc/self/oom_score_adj", "1000");
} catch {
  // Not Linux, or not allowed: then the kernel chooses by size, which comes to the same.
}

const [file = "", ...knownDigests] = process.argv.slice(2);
const bytes = new Uint8Array(await arrayBuffer(process.stdin));
const { head, image } = partsOf(loadBytes({ file, bytes, knownDigests }));
process.stdout.write(`${JSON.stringify(head)}\n`);
process.stdout.write(image);
