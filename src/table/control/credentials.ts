// What a sidecar shows to the control plane. Read anew for each connection, so that tokens and certificates can be replaced.

import type { ControlTableConfig } from "../../config/table-source.ts";
import { readTableFile } from "../read-file.ts";

/** Larger than any of these files. */
const FILE_BYTES_MAX = 1024 * 1024;

/** PEM files and the token, as read. */
export interface Credentials {
  /** Absent: without TLS. */
  readonly tls?: {
    readonly ca?: Buffer;
    readonly certificate?: Buffer;
    readonly key?: Buffer;
    readonly serverName?: string;
  };
  readonly token?: string;
}

/** Rejects with a message for people when a file cannot be used. */
export async function readCredentials({ tls, tokenFile }: ControlTableConfig): Promise<Credentials> {
  const token = tokenFile === undefined ? undefined : await readToken(tokenFile);
  const [ca, certificate, key] = await Promise.all([read(tls?.ca), read(tls?.certificate), read(tls?.key)]);
  return {
    ...(token === undefined ? {} : { token }),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(ca === undefined ? {} : { ca }),
            ...(certificate === undefined ? {} : { certificate }),
            ...(key === undefined ? {} : { key }),
            ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
          },
        }),
  };
}

async function readToken(file: string): Promise<string> {
  const token = (await read(file)).toString("utf8").trim();
  // RFC 6750 §2.1: what `Bearer` may be followed by. Anything else could not be sent in a header.
  if (!/^[A-Za-z0-9._~+/-]+=*$/u.test(token)) {
    const what =
      token === "" ? "is empty" : "is no bearer token: it has other characters than letters, digits and ._~+/-";
    throw new Error(`${file} ${what}, write the sidecar's token into it`);
  }
  return token;
}

async function read(file: string): Promise<Buffer>;
async function read(file: string | undefined): Promise<Buffer | undefined>;
async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  const content = await readTableFile(file, FILE_BYTES_MAX);
  if (!content.ok) throw new Error(content.message);
  return Buffer.from(content.bytes);
}
