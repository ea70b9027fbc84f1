// What the test node runs for an image: programs of this repository, on this machine's Node.
import { join } from "node:path";

/** An image as the node knows it: no layers, only what it starts. */
export interface Image {
  readonly entrypoint: readonly string[];
  /** The user of the image when the pod names none. */
  readonly user: number;
}

/** An image by its reference; undefined: it cannot be pulled. */
export type Images = (reference: string) => Image | undefined;

export const repository = join(import.meta.dirname, "..", "..", "..", "..");

const apps = ["echo", "grpc", "greeter", "caller"];

/**
 * `sidelane:TAG` (of any registry) is this tree's; `app/NAME:TAG` one of the programs in `apps/`, which say TAG as their version.
 */
export const imagesOfTests: Images = (reference) => {
  const [, name, tag] = /^(?:.*\/)?([a-z-]+)(?::([\w.-]+))?(?:@sha256:\w+)?$/u.exec(reference) ?? [];
  if (name === "sidelane") return { entrypoint: [process.execPath, join(repository, "src", "main.ts")], user: 65_532 };
  if (!reference.includes("app/") || name === undefined || !apps.includes(name)) return undefined;
  const program = join(import.meta.dirname, "apps", `${name}.ts`);
  return { entrypoint: ["/usr/bin/env", `VERSION=${tag ?? "latest"}`, process.execPath, program], user: 1000 };
};
