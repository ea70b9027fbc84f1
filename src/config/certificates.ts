// What a sidecar asks of the PEM files that its config names, before it uses them. For `check` and for the running sidecar, which
// checks what changed; so nothing here loads the parsers of the config.

import { X509Certificate, createPrivateKey } from "node:crypto";

/** Which file of a `tls` section a fault is about. */
export type PemField = "certificate" | "key" | "ca";

/** What is wrong with a file. The sentence is: the file's name, `message`, `why`, `hint`. */
export interface PemFault {
  readonly field: PemField;
  readonly message: string;
  readonly why?: string;
  readonly hint?: string;
  /** Nothing is wrong but the time: it was good, or will be. */
  readonly byTime?: boolean;
}

/** A certificate that is fit for use. */
export interface CertificateFacts {
  readonly subject: string;
  /** Milliseconds since the epoch; of the certificates of the file the one that ends first. */
  readonly notAfterMs: number;
}

/** A certificate file and its key file; null when the files can be used together. */
export function keyPairFault(certificate: string, key: string): PemFault | null {
  const chain = readCertificates("certificate", certificate);
  if ("field" in chain) return chain;
  const privateKey = readKey(key);
  if ("field" in privateKey) return privateKey;
  const [leaf] = chain;
  if (leaf.checkPrivateKey(privateKey)) return null;
  const elsewhere = chain.findIndex((one) => one.checkPrivateKey(privateKey));
  if (elsewhere !== -1) {
    return {
      field: "certificate",
      message: `begins with the certificate of ${nameOf(leaf)}`,
      why: `the key belongs to certificate ${elsewhere + 1} of the file`,
      hint: "put that one first, the authorities behind it",
    };
  }
  return {
    field: "key",
    message: `does not belong to the certificate of ${nameOf(leaf)}`,
    why: "it is the key of another one",
    hint: "write the key that the certificate was made for",
  };
}

/** Authorities by which others' certificates are verified; null when the file can be used. `nowMs`: since the epoch. */
export function authoritiesFault(ca: string, nowMs: number = Date.now()): PemFault | null {
  const authorities = readCertificates("ca", ca);
  if ("field" in authorities) return authorities;
  // A bundle may well hold some that have expired.
  if (authorities.some((one) => one.validToDate.getTime() > nowMs)) return null;
  return {
    field: "ca",
    message: `expired on ${day(authorities[0].validToDate)}`,
    why: "nothing can be verified by it any more",
    hint: "write the present certificate of the authority",
    byTime: true,
  };
}

/** Whether a certificate is fit at this time (`nowMs`: since the epoch); null when it is. */
export function validityFault(certificate: string, nowMs: number = Date.now()): PemFault | null {
  const chain = readCertificates("certificate", certificate);
  if ("field" in chain) return chain;
  for (const one of chain) {
    const what = one === chain[0] ? "" : `the certificate of ${nameOf(one)} in it `;
    if (one.validToDate.getTime() <= nowMs) {
      return {
        field: "certificate",
        message: `${what === "" ? "" : `is of no use: ${what}`}expired on ${day(one.validToDate)}`,
        why: "whoever verifies it refuses the connection",
        hint: "renew it",
        byTime: true,
      };
    }
    if (one.validFromDate.getTime() > nowMs) {
      return {
        field: "certificate",
        message: `${what === "" ? "" : `is of no use yet: ${what}`}begins to be valid on ${day(one.validFromDate)}`,
        why: "whoever verifies it refuses the connection until then",
        hint: "correct the clock, or wait",
        byTime: true,
      };
    }
  }
  return null;
}

/** Facts of a file that has no fault. */
export function certificateFacts(certificate: string): CertificateFacts {
  const chain = readCertificates("certificate", certificate);
  if ("field" in chain) throw new Error(chain.message);
  return { subject: nameOf(chain[0]), notAfterMs: Math.min(...chain.map((one) => one.validToDate.getTime())) };
}

/** A fault as one sentence about the file. */
export function pemSentence(file: string, { message, why, hint }: PemFault): string {
  return [`${file} ${message}`, why, hint].filter((part) => part !== undefined).join(", ");
}

/**
 * The certificates of a file, each beginning a line of its own. Files that were put together with `cat` may lack the line end
 * between two, and OpenSSL then stops reading at that place without a word.
 */
export function separated(pem: string): string {
  return [...pem.matchAll(BLOCK)].map(([text]) => `${text}\n`).join("");
}

type Certificates = readonly [X509Certificate, ...X509Certificate[]];

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/gu;

function readCertificates(field: "certificate" | "ca", pem: string): Certificates | PemFault {
  const kinds = [...pem.matchAll(BLOCK)].map(([text, kind = ""]) => ({ text, kind }));
  const blocks = kinds.filter(({ kind }) => /^(?:X509 |TRUSTED )?CERTIFICATE$/u.test(kind));
  if (blocks.length === 0) {
    if (kinds.some(({ kind }) => kind.endsWith("PRIVATE KEY"))) {
      return { field, message: "holds a private key and no certificate", hint: "were the two files swapped?" };
    }
    return notPem(field, pem, "CERTIFICATE", "openssl x509 -inform der");
  }
  const certificates: X509Certificate[] = [];
  for (const [index, { text }] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(text));
    } catch {
      const which = blocks.length === 1 ? "a certificate" : `a certificate (${index + 1} of ${blocks.length})`;
      return { field, message: `holds ${which} that cannot be read`, hint: "was it cut off? write it again" };
    }
  }
  return certificates as [X509Certificate, ...X509Certificate[]]; // at least one block
}

function readKey(pem: string): ReturnType<typeof createPrivateKey> | PemFault {
  const field = "key";
  const kinds = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/gu)].map(([, kind = ""]) => kind);
  if (!kinds.some((kind) => kind.endsWith("PRIVATE KEY"))) {
    if (kinds.includes("CERTIFICATE")) {
      return { field, message: "holds a certificate and no private key", hint: "were the two files swapped?" };
    }
    return notPem(field, pem, "PRIVATE KEY", "openssl pkey -inform der");
  }
  if (kinds.includes("ENCRYPTED PRIVATE KEY") || /^Proc-Type: 4,ENCRYPTED/mu.test(pem)) {
    const hint = "write one without: openssl pkey -in this.key -out plain.key, readable for Sidelane alone";
    return { field, message: "is locked with a passphrase", why: "nobody is there to type it", hint };
  }
  try {
    return createPrivateKey(pem);
  } catch {
    return { field, message: "holds a private key that cannot be read", hint: "was it cut off? write it again" };
  }
}

function notPem(field: PemField, content: string, kind: string, convert: string): PemFault {
  if (content.trim() === "") return { field, message: "is empty", hint: "write it again" };
  return {
    field,
    message: "is not PEM",
    why: `there is no line -----BEGIN ${kind}-----`,
    hint: `if it is DER, convert it: ${convert}`,
  };
}

/** The subject's common name, or all of it. */
function nameOf({ subject, subjectAltName }: X509Certificate): string {
  const text = subject ?? "";
  return /^CN=(.+)$/mu.exec(text)?.[1] ?? (text === "" ? (subjectAltName ?? "nobody") : text.replaceAll("\n", ", "));
}

function day(date: Date): string {
  return date.toISOString().slice(0, 16).replace("T", " ").concat(" UTC");
}
