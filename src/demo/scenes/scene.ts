import { randomBytes } from "node:crypto";
import type { Shop } from "../shop.ts";
import type { Stage } from "../stage.ts";

/** Something that Sidelane does beyond one request; played by the scenario, and again whenever somebody on the page wants. */
export interface Scene {
  /** Its name in a URL. */
  readonly name: string;
  readonly title: string;
  readonly play: (shop: Shop, stage: Stage) => Promise<void>;
}

/** A trace of its own (W3C Trace Context §3.2): its id, and the header that begins it. */
export function newTrace(): { readonly id: string; readonly headers: { readonly traceparent: string } } {
  const id = randomBytes(16).toString("hex");
  return { id, headers: { traceparent: `00-${id}-${randomBytes(8).toString("hex")}-01` } };
}
