// Certificates as the cluster keeps them: PEM, in base64 in Secrets and webhook configurations, as it is in ConfigMaps.

import { X509Certificate } from "node:crypto";
import type { Findings } from "../finding.ts";

/** Less than this is left of a certificate: whoever renews it should have done so long ago. */
const SOON_MS = 14 * 24 * 3600 * 1000;

/** All that are in a text; what cannot be read is left out. */
export function certificatesIn(pem: string): readonly X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu) ?? []).flatMap((one) => {
    try {
      return [new X509Certificate(one)];
    } catch {
      return [];
    }
  });
}

/** The text behind base64; "" for nothing. */
export function decoded(base64: string | undefined): string {
  return Buffer.from(base64 ?? "", "base64").toString("utf8");
}

/** Whether one of the authorities has signed it. */
export function isSignedBy(certificate: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  return authorities.some((one) => certificate.checkIssued(one) && certificate.verify(one.publicKey));
}

/** What a serving certificate has to be. */
export interface Served {
  readonly subject: string;
  readonly certificate: X509Certificate;
  /** The name that its callers ask for. */
  readonly host: string;
  /** What whoever calls trusts; undefined: not known. */
  readonly authorities: readonly X509Certificate[] | undefined;
  /** Who does not trust it, when nobody has signed it: `the webhook configuration does not trust`. */
  readonly distrust: string;
  readonly nowMs: number;
  /** How it is made anew. */
  readonly remake: string;
}

/** One finding about a serving certificate. */
export function examineServed(served: Served, findings: Findings): void {
  const { subject, certificate, host, authorities, distrust, nowMs, remake } = served;
  const leftMs = Date.parse(certificate.validTo) - nowMs;
  if (authorities !== undefined && !isSignedBy(certificate, authorities)) {
    findings.error(subject, `is signed by an authority that ${distrust}`, remake);
  } else if (leftMs <= 0) findings.error(subject, `expired on ${certificate.validTo}`, remake);
  else if (Date.parse(certificate.validFrom) > nowMs) {
    findings.error(subject, `is not valid before ${certificate.validFrom}`, `look at the clocks; or ${remake}`);
  } else if (certificate.checkHost(host) === undefined) {
    findings.error(subject, `is not for ${host}, by which it is called`, remake);
  } else if (leftMs < SOON_MS) {
    findings.warning(subject, `expires on ${certificate.validTo} and was not renewed`, remake);
  } else findings.good(subject, `is trusted, until ${certificate.validTo}`);
}
