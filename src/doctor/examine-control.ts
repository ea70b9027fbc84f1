// Looks at a running control plane through its API.

import { isMap } from "../base/is-map.ts";
import { RefusedError } from "../base/refused-error.ts";
import { listIn } from "../client/client.ts";
import type { ControlClient } from "../client/client.ts";
import type { Findings } from "./finding.ts";

/** Sidecars, sandboxes and what keeps them from being ready. Never throws for what the control plane says. */
export async function examineControl(client: ControlClient, version: string, findings: Findings): Promise<void> {
  const subject = `control plane ${client.access.url}`;
  let answer: unknown;
  try {
    answer = await client.read("/v1/sidecars");
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    findings.error(subject, error.message, "");
    return;
  }
  const sidecars = listIn(answer, "sidecars").filter(isMap);
  for (const { replica, why } of (isMap(answer) ? listIn(answer["missing"], "") : []).filter(isMap)) {
    findings.error(
      subject,
      `replica ${String(replica)} cannot be asked: ${String(why)}`,
      "look at its log; while it is away, nobody can say what its sidecars have",
    );
  }
  if (sidecars.length === 0) {
    findings.error(
      subject,
      "no sidecar follows it",
      "sidecars do when their config has 'table: { control: HOST:PORT }' with the address of its feed",
    );
  }
  let current = 0;
  for (const sidecar of sidecars) {
    const text = (field: string): string => String(sidecar[field] ?? "");
    const who = `sidecar of ${text("service")}${text("sandbox") === "" ? "" : ` (${text("sandbox")})`} on ${text("host")}`;
    if (sidecar["connected"] !== true)
      findings.warning(
        who,
        "is not connected",
        "it goes on with its last table; look whether it runs and reaches the feed",
      );
    else if (text("error") !== "")
      findings.error(
        who,
        `refused the newest table: ${text("error")}`,
        "correct what it says; until then it routes by the table before",
      );
    else current++;
    if (text("version") !== version && text("version") !== "") {
      findings.warning(
        who,
        `has version ${text("version")}, this is ${version}`,
        "restart its workload to get the newer sidecar",
      );
    }
  }
  if (current > 0) findings.good(subject, `${current} of ${sidecars.length} sidecars follow its table`);
  await examineSandboxes(client, sidecars, findings);
}

async function examineSandboxes(
  client: ControlClient,
  sidecars: readonly Readonly<Record<string, unknown>>[],
  findings: Findings,
): Promise<void> {
  const services = await client.list("service");
  const covered = new Set(sidecars.map((one) => String(one["service"])));
  const bare = services.filter(({ name }) => !covered.has(name)).map(({ name }) => name);
  if (sidecars.length > 0 && bare.length > 0) {
    findings.warning(
      `services ${bare.slice(0, 10).join(", ")}${bare.length > 10 ? ` and ${bare.length - 10} more` : ""}`,
      "have no sidecar: a sandbox of theirs is reached only by callers with an outbound listener",
      "put a sidecar before each that sandboxes change",
    );
  }
  for (const { name, whole } of await client.list("sandbox")) {
    const status = isMap(whole["status"]) ? whole["status"] : {};
    const conditions = listIn(status["conditions"], "").filter(isMap);
    const failing = conditions.filter(
      (one) => one["status"] !== "true" && one["type"] !== "Expiring" && one["type"] !== "Ready",
    );
    const ready = conditions.find((one) => one["type"] === "Ready");
    if (ready === undefined || ready["status"] === "true") continue;
    const [first] = failing.length > 0 ? failing : [ready];
    findings.warning(
      `sandbox ${name}`,
      `is not ready: ${String(first?.["message"] ?? "")}`,
      `sidelane sandbox get ${name}`,
    );
  }
}
