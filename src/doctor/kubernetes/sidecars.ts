import { INTERCEPT, SIDECAR } from "../../kube/injected-pod.ts";
import type { Findings } from "../finding.ts";
import type { Pod } from "./pod.ts";

/** Restarts after which a sidecar is not well. */
const RESTARTS = 3;
/** A sidecar has its first table within a second or two. */
const FIRST_TABLE_MS = 30_000;

/** Whether one pod's sidecar works, as far as its kubelet tells. */
export function examineSidecar({ status, metadata }: Pod, subject: string, nowMs: number, findings: Findings): void {
  const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const intercept = statuses.find(({ name }) => name === INTERCEPT);
  const logs = (container: string): string =>
    `kubectl -n ${metadata.namespace ?? ""} logs ${metadata.name} -c ${container}`;
  if (intercept?.state?.waiting?.reason === "CrashLoopBackOff") {
    findings.error(subject, "its traffic cannot be intercepted: sidelane-intercept fails", logs(INTERCEPT));
    return;
  }
  const sidecar = statuses.find(({ name }) => name === SIDECAR);
  if (sidecar === undefined) return;
  const { waiting, running } = sidecar.state ?? {};
  const sinceMs = nowMs - Date.parse(running?.startedAt ?? "");
  if (waiting?.reason !== undefined && waiting.reason !== "PodInitializing") {
    findings.error(subject, `its sidecar does not run, ${waiting.reason}: ${waiting.message ?? ""}`, logs(SIDECAR));
  } else if (running !== undefined && sidecar.started === false && sinceMs > FIRST_TABLE_MS) {
    findings.error(
      subject,
      `its sidecar has had no table for ${Math.round(sinceMs / 1000)} s, so its app does not start: it does not reach the control plane, or is refused`,
      `its log says why: ${logs(SIDECAR)}`,
    );
  } else if (sidecar.restartCount >= RESTARTS) {
    findings.warning(subject, `its sidecar was restarted ${sidecar.restartCount} times`, `${logs(SIDECAR)} --previous`);
  }
}
