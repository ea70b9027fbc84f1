// The life of the authority, whose certificate every sidecar and the API server trust. Guarantees:
//
// - Nobody is shown a certificate of an authority that was not in their bundle for OVERLAP_MS before.
// - The authority before stays in the bundle for OVERLAP_MS after the last certificate of its own was replaced.
// - Everything that the next step depends on stands in the Secret: another operator goes on where this one ended.
//
//     prepare (2/3 of its life)        promote                        forget
//   A ------------------------->  A, next B  ----- OVERLAP_MS ----->  B, previous A  ----- OVERLAP_MS ----->  B
//   bundle: A                     bundle: A B                         bundle: B A                             bundle: B

import { certificatesOf, inspectPair, renewAtMs } from "./inspect.ts";
import { BACKDATED_MS, issueAuthority } from "./issue.ts";
import type { KeyPair } from "./issue.ts";

/** Kubelets bring a changed ConfigMap to a pod within two minutes; a day leaves room for one that was away. */
export const OVERLAP_MS = 24 * 60 * 60 * 1000;

/** The Secret's content, decoded. Unknown keys are dropped with the next write. */
export interface AuthorityRecord {
  /** Signs. Both empty: there is none. */
  readonly signing: KeyPair;
  /** Already trusted, signs next. */
  readonly next?: KeyPair;
  /** Still trusted: certificates, PEM. */
  readonly previous: readonly string[];
  /** Since when `signing` signs, in milliseconds since the epoch. */
  readonly signingSinceMs: number;
}

/** What an authority needs now. */
export type AuthorityStep =
  | { readonly step: "none"; readonly untilMs: number }
  | { readonly step: "create" | "drop-next"; readonly why: string }
  | { readonly step: "prepare" | "promote" | "forget" };

/** The next step of an authority; nothing is made yet. */
export function authorityStep(
  { signing, next, previous, signingSinceMs }: AuthorityRecord,
  nowMs: number,
): AuthorityStep {
  const current = inspectPair(signing, nowMs);
  if ("problem" in current) return { step: "create", why: current.problem };
  if (!current.certificate.ca) return { step: "create", why: "its certificate is none of an authority" };
  const due: number[] = [];
  if (next !== undefined) {
    const coming = inspectPair(next, nowMs);
    if ("problem" in coming) return { step: "drop-next", why: coming.problem };
    const promoteAtMs = coming.notBeforeMs + BACKDATED_MS + OVERLAP_MS;
    if (nowMs >= promoteAtMs) return { step: "promote" };
    due.push(promoteAtMs);
  } else {
    if (nowMs >= renewAtMs(current)) return { step: "prepare" };
    due.push(renewAtMs(current));
  }
  if (previous.length > 0) {
    const forgetAtMs = signingSinceMs + OVERLAP_MS;
    if (nowMs >= forgetAtMs) return { step: "forget" };
    due.push(forgetAtMs);
  }
  return { step: "none", untilMs: Math.min(...due) };
}

/** The record after a step. */
export async function takeStep(
  record: AuthorityRecord,
  { step }: AuthorityStep,
  nowMs: number,
): Promise<AuthorityRecord> {
  const { signing, next, previous } = record;
  switch (step) {
    case "create":
      // Whatever can still be read stays trusted: servers go on showing its certificates until they have new ones.
      return {
        signing: await issueAuthority(nowMs),
        previous: certificatesOf([signing.certificate, ...previous].join("\n")),
        signingSinceMs: nowMs,
      };
    case "prepare":
      return { ...record, next: await issueAuthority(nowMs) };
    case "promote":
      if (next === undefined) return record;
      return { signing: next, previous: [signing.certificate, ...previous], signingSinceMs: nowMs };
    case "drop-next":
      return { signing, previous, signingSinceMs: record.signingSinceMs };
    case "forget":
      return { ...record, previous: [] };
    case "none":
      return record;
  }
}

/** What clients have to trust: PEM, the authority that signs first. */
export function bundleOf({ signing, next, previous }: AuthorityRecord): string {
  return [signing.certificate, ...(next === undefined ? [] : [next.certificate]), ...previous].join("");
}

/** As `data` of a Secret, before base64. */
export function authorityToData(record: AuthorityRecord): Readonly<Record<string, string>> {
  const { signing, next, previous, signingSinceMs } = record;
  return {
    "tls.crt": signing.certificate,
    "tls.key": signing.key,
    "ca.crt": bundleOf(record),
    "signing-since": new Date(signingSinceMs).toISOString(),
    ...(next === undefined ? {} : { "next.crt": next.certificate, "next.key": next.key }),
    ...(previous.length === 0 ? {} : { "previous.crt": previous.join("") }),
  };
}

/** Reads the `data` of a Secret, after base64; whatever is missing or cannot be read is empty. */
export function authorityFromData(data: Readonly<Record<string, string>>): AuthorityRecord {
  const since = Date.parse(data["signing-since"] ?? "");
  const next = { certificate: data["next.crt"] ?? "", key: data["next.key"] ?? "" };
  return {
    signing: { certificate: data["tls.crt"] ?? "", key: data["tls.key"] ?? "" },
    ...(next.certificate === "" && next.key === "" ? {} : { next }),
    previous: certificatesOf(data["previous.crt"] ?? ""),
    signingSinceMs: Number.isNaN(since) ? 0 : since,
  };
}
