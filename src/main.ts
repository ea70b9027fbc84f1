#!/usr/bin/env -S node --max-semi-space-size=1 --no-concurrent-recompilation
// The flags keep the sidecar small (docs/performance.md): a young generation of 1 MiB is plenty for a process that
// allocates less than 1 KiB per request, and compiling hot functions on the main thread, at most 5 ms each and done after
// some thousand requests, saves the 6 MB that V8's compiler threads keep.

/** As in `engines` of package.json. */
const NODE_MIN = [22, 19] as const;

// A reader that has seen enough (`| head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
  process.stderr.write(`sidelane: needs Node ${NODE_MIN.join(".")} or newer, this is ${process.versions.node}\n`);
  process.exitCode = 2;
} else {
  // npm runs scripts at the root of the package, whatever the directory of the person who typed `npm run sidelane`.
  const { npm_lifecycle_event: script, INIT_CWD: directory } = process.env;
  if (script === "sidelane" && directory !== undefined) process.chdir(directory);
  const { run } = await import("./cli/run.ts");
  process.exitCode = await run(process.argv.slice(2));
}
