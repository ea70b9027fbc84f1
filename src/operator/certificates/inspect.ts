// Reads what a Secret holds, which anybody with the right to write it may have changed: certificates and keys that are none are
// an answer, not an exception.

import { X509Certificate, createPrivateKey } from "node:crypto";
import type { KeyPair } from "./issue.ts";

/** What is of interest of a certificate; times in milliseconds since the epoch. */
export interface Inspected {
  readonly certificate: X509Certificate;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A certificate that can be read, or why it cannot. */
export function inspectCertificate(pem: string): Inspected | { readonly problem: string } {
  try {
    const certificate = new X509Certificate(pem);
    return { certificate, notBeforeMs: Date.parse(certificate.validFrom), notAfterMs: Date.parse(certificate.validTo) };
  } catch {
    return { problem: "it holds no certificate that can be read" };
  }
}

/** A pair that belongs together and is valid now, or why it is not. */
export function inspectPair({ certificate, key }: KeyPair, nowMs: number): Inspected | { readonly problem: string } {
  if (certificate === "" && key === "") return { problem: "it is empty" };
  const inspected = inspectCertificate(certificate);
  if ("problem" in inspected) return inspected;
  try {
    if (!inspected.certificate.checkPrivateKey(createPrivateKey(key))) {
      return { problem: "its key belongs to another certificate" };
    }
  } catch {
    return { problem: "it holds no private key that can be read" };
  }
  if (nowMs >= inspected.notAfterMs) {
    return { problem: `its certificate ended to be valid on ${new Date(inspected.notAfterMs).toISOString()}` };
  }
  return inspected;
}

/** When a certificate has lived two thirds of its life, in milliseconds since the epoch: time for the next one. */
export function renewAtMs({ notBeforeMs, notAfterMs }: Inspected): number {
  return notBeforeMs + Math.floor(((notAfterMs - notBeforeMs) * 2) / 3);
}

/** The names and addresses that a certificate is good for. */
export function namesOf({ certificate }: Inspected): readonly string[] {
  // "DNS:a, DNS:b, IP Address:127.0.0.1"; names that need quotes are none of ours.
  return (certificate.subjectAltName ?? "").split(", ").map((name) => name.replace(/^[^:]*:/u, ""));
}

/** The certificates of a bundle, each PEM, without what is none. */
export function certificatesOf(bundle: string): readonly string[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/gu) ?? [];
  return found.map((pem) => `${pem}\n`).filter((pem) => !("problem" in inspectCertificate(pem)));
}
