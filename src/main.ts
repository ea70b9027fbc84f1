#!/usr/bin/env -S node --max-semi-space-size=1 --no-concurrent-recompilation
// The flags keep the sidecar small (docs/performance.md): a young generation of 1 MiB is plenty for a process that
// allocates less than 1 KiB per request, and compiling hot functions on the main thread, at most 5 ms each and done after
// some thousand requests, saves the 6 MB that V8's compiler threads keep.
import { run } from "./cli/run.ts";

// A reader that has seen enough (`| head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2));
