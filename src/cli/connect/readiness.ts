// Whether requests really come here: connected is not routed. The control plane knows, from the sidecars and from a probe that goes
// the way of a request.

import type { ControlAccess } from "../../client/access.ts";
import type { FromReplica } from "../../control/connect/wire.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../client/client.ts";
import type { SandboxStatus } from "../../control/api/backend.ts";
import type { Report } from "./report.ts";

/** One question; asked again as long as it is not so. */
const WITHIN_MS = 60_000;
const AGAIN_MS = 1000;

/** Reports what is lacking, and once when nothing is; ends then, or with `signal`. */
export async function tellReadiness(
  access: ControlAccess,
  { sandbox, key }: Extract<FromReplica, { readonly kind: "welcome" }>,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const client = new ControlClient(access);
  let told = "";
  const tell = (message: string): void => {
    if (message === told || message === "") return;
    told = message;
    report({ event: "waiting", message });
  };
  while (!signal.aborted) {
    try {
      for await (const event of client.wait(sandbox, "ready", WITHIN_MS, signal)) {
        if (event.kind === "progress") tell(lackingText(event.status));
        else if (event.reached) return report({ event: "ready", key, message: event.message });
        else tell(event.message);
      }
    } catch (error) {
      if (signal.aborted) return;
      tell(`cannot ask whether requests come here: ${error instanceof Error ? error.message : String(error)}`);
      // Without an answer to this, connecting works all the same.
      if (error instanceof Error && "status" in error) return;
    }
    await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** The sentences of what is not so yet. */
function lackingText({ conditions }: SandboxStatus): string {
  const lacking = conditions.filter(({ type, status }) => type !== "Ready" && type !== "Expiring" && status !== "true");
  return lacking.map(({ message }) => message).join("; ");
}
