// Where `npm run setup:kube` keeps the programs of Kubernetes: outside of the checkout, so that every checkout finds what one
// has built, and by a name that says which versions, so that another version never finds these.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What the folder has when it is there. */
export const kubePrograms = ["kube-apiserver", "kube-controller-manager", "kubectl", "helm"] as const;

export type KubeProgram = (typeof kubePrograms)[number];

/** The folder for the versions that the files beside this one pin, whether it is there or not. */
export function kubeFolder(): string {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of ["go.mod", "go.sum", "package-lock.json"])
    hash.update(readFileSync(join(import.meta.dirname, file)));
  const cache = process.env["XDG_CACHE_HOME"] ?? "";
  const parent = cache === "" ? join(homedir(), ".cache") : cache;
  return join(parent, "sidelane", `kube-${hash.digest("hex").slice(0, 16)}`);
}

/** The path of one; throws a sentence that says how to get it when it is not there. */
export function kubeProgram(name: KubeProgram): string {
  const path = join(kubeFolder(), name);
  if (!existsSync(path)) throw new Error(`${name} is missing: \`npm run setup:kube\` builds it (some minutes, once)`);
  return path;
}
