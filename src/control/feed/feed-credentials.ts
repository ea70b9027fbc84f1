// TLS of the feed: the files of the config, followed while they change (src/proxy/tls/pem-files.ts). Clients may show a certificate;
// one that does not come from the configured authorities counts as none, and whoever shows it needs a token.

import { ServerCredentials } from "@grpc/grpc-js";
import type { Log } from "../../base/log.ts";
import type { ServerTlsConfig } from "../../config/control-config.ts";
import { type PemContents, PemFiles } from "../../proxy/tls/pem-files.ts";
import { TlsStats } from "../../telemetry/tls-stats.ts";

/** What the server is started with, and how following the files ends. */
export interface FeedCredentials {
  readonly credentials: ServerCredentials;
  close(): void;
}

/** Without `tls` connections are plain. Rejects with a sentence when the files cannot be used. */
export async function feedCredentials(
  tls: ServerTlsConfig | undefined,
  log: Log,
  stats: TlsStats = new TlsStats(),
): Promise<FeedCredentials> {
  if (tls === undefined) return { credentials: ServerCredentials.createInsecure(), close() {} };
  const { certificate, key, clientCa: ca } = tls;
  const paths = { certificate, key, ...(ca === undefined ? {} : { ca }) };
  // Not called before the first look is in use.
  const files = new PemFiles("feed", paths, (contents) => followed.use(contents), { log, stats });
  const followed = new FollowedCredentials(ca !== undefined, await files.start());
  return { credentials: followed, close: () => files.close() };
}

class FollowedCredentials extends ServerCredentials {
  constructor(requestCert: boolean, contents: PemContents) {
    // Who shows no certificate, or another one, may have a token; `getAuthContext` tells of verified certificates only.
    super({ requestCert, rejectUnauthorized: false, minVersion: "TLSv1.2" }, contextOf(contents));
  }

  use(contents: PemContents): void {
    this.updateSecureContextOptions(contextOf(contents));
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

function contextOf({ certificate, key, ca }: PemContents) {
  // An authority that is not named is none: the public ones would vouch for anybody.
  return { cert: certificate, key, ca: ca ?? [] };
}
