// Makes key pairs and X.509 certificates (RFC 5280): an authority that signs itself, and certificates of servers that it signs.
// ECDSA P-256 throughout: what every TLS stack since 2010 verifies, in keys of 32 bytes.

// Has to come first: the container of @peculiar/x509 keeps what it knows of its classes in Reflect's metadata.
import "reflect-metadata";
import { KeyObject, createPrivateKey, randomBytes, webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

/** Certificates are good from an hour before they were made: clocks of nodes differ. */
export const BACKDATED_MS = HOUR_MS;
const AUTHORITY_LIFETIME_MS = 3650 * DAY_MS;
const SERVING_LIFETIME_MS = 90 * DAY_MS;

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" } as const;

/** A new authority, good for ten years; it may sign certificates of servers, and no further authorities. */
export async function issueAuthority(nowMs: number): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const made = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    // Two authorities are in use during a roll-over; with one name, clients would try the wrong one first.
    name: `CN=sidelane authority ${new Date(nowMs).toISOString().slice(0, 10)} ${randomBytes(4).toString("hex")}`,
    ...validity(nowMs, AUTHORITY_LIFETIME_MS),
    keys,
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(made), key: privateKeyPem(keys.privateKey) };
}

/**
 * A new certificate for a server, good for 90 days and for all the names, of which the first is its subject. Throws when the
 * authority's key or certificate cannot be read.
 */
export async function issueServing(authority: KeyPair, names: readonly string[], nowMs: number): Promise<KeyPair> {
  const issuer = new X509Certificate(authority.certificate);
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const made = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${names[0] ?? "sidelane"}`,
    issuer: issuer.subject,
    ...validity(nowMs, SERVING_LIFETIME_MS),
    publicKey: keys.publicKey,
    signingKey: await importedKey(authority.key),
    signingAlgorithm,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: isAddress(value) ? "ip" : "dns", value }))),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: pem(made), key: privateKeyPem(keys.privateKey) };
}

function validity(nowMs: number, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - BACKDATED_MS), notAfter: new Date(nowMs - BACKDATED_MS + lifetimeMs) };
}

/** 127 random bits: positive, and at most 20 octets (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}

function privateKeyPem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ format: "pem", type: "pkcs8" }).toString();
}

function importedKey(key: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(key).export({ format: "der", type: "pkcs8" });
  return webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), keyAlgorithm, false, ["sign"]);
}

function isAddress(name: string): boolean {
  return /^[0-9.]+$|:/u.test(name);
}
