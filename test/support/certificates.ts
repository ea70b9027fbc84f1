// Certificates made for one test: an authority, and what it signs.
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";
import { onTestFinished } from "vitest";

/** A certificate and its key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** What a certificate says; everything left out is what a good server's says. */
export interface CertificateOptions {
  /** DNS names it is good for. Default: `localhost`. */
  readonly names?: readonly string[];
  readonly addresses?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Makes an authority, a root of its own. */
export async function makeAuthority(name = "Test Authority"): Promise<Authority> {
  const made = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(Date.now() - DAY_MS),
    notAfterDate: new Date(Date.now() + 365 * DAY_MS),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return new Authority(made.cert, made.private);
}

/** Signs certificates. */
export class Authority {
  /** Its own, PEM: what `ca` takes. */
  readonly certificate: string;
  readonly #key: string;

  constructor(certificate: string, key: string) {
    this.certificate = certificate;
    this.#key = key;
  }

  /** Good for servers and clients alike. */
  async sign(commonName: string, options: CertificateOptions = {}): Promise<KeyPair> {
    const { names = ["localhost"], addresses = [], notBefore, notAfter } = options;
    const made = await generate([{ name: "commonName", value: commonName }], {
      keyType: "ec",
      algorithm: "sha256",
      ca: { cert: this.certificate, key: this.#key },
      notBeforeDate: notBefore ?? new Date(Date.now() - DAY_MS),
      notAfterDate: notAfter ?? new Date(Date.now() + 30 * DAY_MS),
      extensions: [
        { name: "basicConstraints", cA: false },
        { name: "keyUsage", digitalSignature: true, critical: true },
        { name: "extKeyUsage", serverAuth: true, clientAuth: true },
        {
          name: "subjectAltName",
          altNames: [
            ...names.map((value) => ({ type: 2 as const, value })),
            ...addresses.map((ip) => ({ type: 7 as const, ip })),
          ],
        },
      ],
    });
    return { certificate: made.cert, key: made.private };
  }

  /** One whose time is over. */
  signExpired(commonName: string): Promise<KeyPair> {
    return this.sign(commonName, {
      notBefore: new Date("2020-01-01T00:00:00Z"),
      notAfter: new Date("2020-06-01T12:00:00Z"),
    });
  }
}

/** A folder of PEM files; removed when the test is over. */
export class PemFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<PemFolder> {
    const path = await mkdtemp(join(tmpdir(), "sidelane-tls-"));
    onTestFinished(() => rm(path, { recursive: true }));
    return new PemFolder(path);
  }

  /** Writes or replaces a file whole, as a renewal does; returns its path. */
  async put(name: string, content: string | Uint8Array): Promise<string> {
    const path = join(this.path, name);
    await writeFile(`${path}.new`, content);
    await rename(`${path}.new`, path);
    return path;
  }

  /** `NAME.crt` and `NAME.key`. */
  async putPair(name: string, pair: KeyPair): Promise<{ readonly certificate: string; readonly key: string }> {
    const key = await this.put(`${name}.key`, pair.key);
    return { certificate: await this.put(`${name}.crt`, pair.certificate), key };
  }
}
