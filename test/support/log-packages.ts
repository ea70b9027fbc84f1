// Loaded into a process with `--import`: tells over IPC which packages it has loaded so far, when asked `packages`.
import { registerHooks } from "node:module";

const packages = new Set<string>();
registerHooks({
  load(url, context, nextLoad) {
    const name = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
    if (name !== undefined) packages.add(name);
    return nextLoad(url, context);
  },
});
process.on("message", (message) => {
  if (message === "packages") process.send?.({ packages: [...packages].toSorted() });
});
