// The journals of all sidecars that follow a control plane, in one answer.

import type { FlagValues } from "../command.ts";
import { controlAccess } from "../control-access.ts";
import { ControlClient, listIn } from "../../client/client.ts";
import { isMap } from "../../base/is-map.ts";
import type { AskedSidecar } from "./ask.ts";
import { asJournal, readJournal } from "./read-journal.ts";

/** Asks the control plane of the flags for a trace, each time when it is called. */
export function controlJournals(flags: FlagValues, trace: string): () => Promise<AskedSidecar[]> {
  const client = new ControlClient(controlAccess(flags));
  return async () => {
    const answer = await client.read(`/v1/traces/${encodeURIComponent(wholeId(trace))}`);
    const sidecars = listIn(answer, "sidecars").filter(isMap).map(askedSidecar);
    const missing = isMap(answer) ? listIn(answer["missing"], "").filter(isMap) : [];
    return [
      ...sidecars,
      ...missing.map(({ replica, why }) => ({ address: `control replica ${String(replica)}`, error: String(why) })),
    ];
  };
}

/** As W3C Trace Context has it: other systems have shorter ids, and leading zeros make no difference. */
function wholeId(trace: string): string {
  return /^[0-9a-f]{1,32}$/iu.test(trace) ? trace.toLowerCase().padStart(32, "0") : trace;
}

function askedSidecar(sidecar: Readonly<Record<string, unknown>>): AskedSidecar {
  const { journal, error } = sidecar;
  const text = (field: string): string => (typeof sidecar[field] === "string" ? sidecar[field] : "");
  const of = text("sandbox") === "" ? text("service") : `${text("service")} of ${text("sandbox")}`;
  // Two on one host are told apart by their processes.
  const address = [of, text("host"), text("instance")].filter(Boolean).join(" ");
  if (typeof error === "string" && error !== "") return { address, error };
  const read = typeof journal === "string" ? readJournal(journal) : asJournal(journal);
  return read === undefined
    ? { address, error: "answered with something else than a journal of this version" }
    : { address, journal: read };
}
