// Entry of the short-lived process that compiles one fed table; see loader.ts. In: the document as JSON. Out: as load-child.ts.

import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import type { TableDocument } from "../../routing/document.ts";
import { partsOf } from "../load-off-loop.ts";
import { compileToAnswer } from "./compile-to-answer.ts";

try {
  // When the memory of the container runs out, this process is the one to end.
  await writeFile("/proc/self/oom_score_adj", "1000");
} catch {
  // Not Linux, or not allowed: then the kernel chooses by size, which comes to the same.
}

const { head, image } = partsOf(compileToAnswer(JSON.parse(await text(process.stdin)) as TableDocument));
const { user, system } = process.cpuUsage();
process.stdout.write(`${JSON.stringify({ ...head, cpuMs: Math.round((user + system) / 1000) })}\n`);
process.stdout.write(image);
