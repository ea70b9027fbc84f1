import { createRequire } from "node:module";

/** The version of package.json, which stands at the same place beside src/ and dist/. */
export function packageVersion(): string {
  const manifest = createRequire(import.meta.url)("../../package.json") as { readonly version: string };
  return manifest.version;
}
