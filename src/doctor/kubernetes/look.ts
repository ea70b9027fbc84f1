import { KubeError } from "../../kube/kube-error.ts";
import type { Findings } from "../finding.ts";

/** Runs one look; what the API server refuses is a finding, and the others go on. */
export async function look(subject: string, findings: Findings, examine: () => Promise<void>): Promise<void> {
  try {
    await examine();
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.status === 403) {
      findings.warning(subject, `could not be looked at: ${error.message}`, "ask as somebody who may read it");
    } else findings.error(subject, error.message, "");
  }
}
