// The certificates that control plane and webhook show.

import { inspectCertificate, inspectPair, namesOf, renewAtMs } from "./inspect.ts";
import { issueServing } from "./issue.ts";
import type { KeyPair } from "./issue.ts";

/** Whether a certificate has to be made anew. */
export type ServingStep =
  | { readonly step: "none"; readonly untilMs: number }
  /** `isRepair`: what was there was not merely old. */
  | { readonly step: "issue"; readonly why: string; readonly isRepair: boolean };

/** The names under which a Service of the namespace is reached, and those of a forwarded port. */
export function servingNames(service: string, namespace: string): readonly string[] {
  return [
    `${service}.${namespace}.svc`,
    `${service}.${namespace}.svc.cluster.local`,
    `${service}.${namespace}`,
    service,
    "localhost",
    "127.0.0.1",
  ];
}

/** What a pair needs so that clients that trust the authority accept it for all the names. */
export function servingStep(pair: KeyPair, authority: string, names: readonly string[], nowMs: number): ServingStep {
  if (pair.certificate === "" && pair.key === "") return { step: "issue", why: "there is none yet", isRepair: false };
  const current = inspectPair(pair, nowMs);
  if ("problem" in current) return { step: "issue", why: current.problem, isRepair: true };
  const issuer = inspectCertificate(authority);
  const isOurs =
    !("problem" in issuer) &&
    current.certificate.checkIssued(issuer.certificate) &&
    current.certificate.verify(issuer.certificate.publicKey);
  if (!isOurs) return { step: "issue", why: "it comes from another authority", isRepair: false };
  const known = new Set(namesOf(current));
  const missing = names.filter((name) => !known.has(name));
  if (missing.length > 0) return { step: "issue", why: `it is not good for ${missing.join(", ")}`, isRepair: true };
  const untilMs = renewAtMs(current);
  if (nowMs >= untilMs) return { step: "issue", why: "two thirds of its life are over", isRepair: false };
  return { step: "none", untilMs };
}

/** As `data` of a Secret, before base64; `ca.crt` for whoever mounts it to ask the server itself. */
export async function issueServingData(
  authority: KeyPair,
  bundle: string,
  names: readonly string[],
  nowMs: number,
): Promise<Readonly<Record<string, string>>> {
  const { certificate, key } = await issueServing(authority, names, nowMs);
  return { "tls.crt": certificate, "tls.key": key, "ca.crt": bundle };
}
