import type { KubeClient } from "../../kube/client.ts";
import { isNotFound } from "../../kube/kube-error.ts";
import { API_VERSION } from "../../kube/object-names.ts";
import { keyOf, pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

interface Conditioned extends KubeObject {
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

const kinds = [
  { plural: "sandboxes", word: "sandbox" },
  { plural: "routegroups", word: "route group" },
] as const;

/** Sandboxes and route groups that are not ready, with the reason that their status gives. */
export async function examineSandboxes(client: KubeClient, findings: Findings): Promise<void> {
  for (const { plural, word } of kinds) {
    await look(plural, findings, async () => {
      const list = client.list<Conditioned>(pathOf({ apiVersion: API_VERSION, plural }));
      // That the definition is not there is told elsewhere.
      const { items } = await list.catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
        return { items: [] };
      });
      let good = 0;
      for (const item of items) {
        const subject = `${word} ${keyOf(item)}`;
        const { observedGeneration, conditions = [] } = item.status ?? {};
        const ready = conditions.find(({ type }) => type === "Ready");
        if (ready === undefined || observedGeneration !== item.metadata.generation) {
          findings.warning(
            subject,
            "the operator has not worked on what it says now",
            "look again in some seconds; then at the operator's log",
          );
        } else if (ready.status !== "True") {
          findings.warning(
            subject,
            `is not ready, ${ready.reason ?? ""}: ${ready.message ?? ""}`,
            `kubectl -n ${item.metadata.namespace ?? ""} describe ${plural} ${item.metadata.name ?? ""}`,
          );
        } else good++;
      }
      if (good > 0) findings.good(plural, `${good} of ${items.length} ready`);
    });
  }
}
