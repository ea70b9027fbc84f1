// How replicas of the control plane ask each other over TLS. Guarantees:
//
// - Only a certificate of a known authority is believed, and only one that is for the host of the URL, or for the name of the own
//   certificate: replicas of a cluster share one certificate and are asked at addresses of pods, which no certificate has.
// - Certificate, key and authorities are followed while their files change, as those that are served are: after a renewal the next
//   connection is made with the new ones, and nothing has to be started again.

import { X509Certificate } from "node:crypto";
import { Agent } from "node:https";
import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext, getCACertificates } from "node:tls";
import type { ConnectionOptions, PeerCertificate } from "node:tls";
import type { Log } from "../base/log.ts";
import type { ControlConfig } from "../config/control-config.ts";
import type { FollowTimes } from "../proxy/followed-files.ts";
import { type PemContents, PemFiles } from "../proxy/tls/pem-files.ts";
import { TlsStats } from "../telemetry/tls-stats.ts";

const CONNECTIONS_MAX = 16;

export class ReplicaTls {
  readonly #hasOwnAuthorities: boolean;
  #agent: Agent;
  /** A name that others have as well when they share a certificate. */
  #name: string | undefined;
  #files: PemFiles | undefined;

  private constructor(hasOwnAuthorities: boolean) {
    this.#hasOwnAuthorities = hasOwnAuthorities;
    this.#agent = new Agent(settings);
  }

  /** Reads the files and follows them; rejects with a sentence. `times`: tests have shorter ones. */
  static async start(
    { api, replicas }: Pick<ControlConfig, "api" | "replicas">,
    log: Log,
    times: FollowTimes = {},
  ): Promise<ReplicaTls> {
    const tls = new ReplicaTls(replicas.ca !== undefined);
    const ca = replicas.ca ?? api.tls?.clientCa;
    const paths = {
      ...(api.tls === undefined ? {} : { certificate: api.tls.certificate, key: api.tls.key }),
      ...(ca === undefined ? {} : { ca }),
    };
    if (Object.keys(paths).length === 0) return tls;
    const deps = { log, stats: new TlsStats(), ...times };
    const files = new PemFiles("replicas", paths, (contents) => tls.#use(contents), deps);
    tls.#files = files;
    try {
      tls.#use(await files.start());
    } catch (error) {
      tls.close();
      throw error;
    }
    return tls;
  }

  /** For connections from now on. */
  get agent(): Agent {
    return this.#agent;
  }

  /** What a request to the host of a URL needs besides the agent. */
  optionsFor(hostname: string): Pick<ConnectionOptions, "servername" | "checkServerIdentity"> {
    const host = hostname.replace(/^\[(.*)\]$/u, "$1");
    const name = this.#name;
    return {
      // RFC 6066 §3: an address cannot be asked for.
      ...(isIP(host) !== 0 && name !== undefined ? { servername: name } : {}),
      checkServerIdentity: (_servername, certificate) => identityFault(certificate, host, name),
    };
  }

  close(): void {
    this.#files?.close();
    this.#agent.destroy();
  }

  /** Throws what OpenSSL finds wrong. */
  #use({ certificate, key, ca }: PemContents): void {
    const authorities = [
      ...(this.#hasOwnAuthorities ? [] : getCACertificates("default")),
      ...(ca === undefined ? [] : [ca]),
      // One that signs itself, and that all replicas have.
      ...(certificate === undefined ? [] : [certificate]),
    ];
    const secureContext = createSecureContext({
      ca: authorities,
      ...(certificate === undefined || key === undefined ? {} : { cert: certificate, key }),
    });
    const before = this.#agent;
    this.#agent = new Agent({ ...settings, secureContext });
    this.#name = certificate === undefined ? undefined : nameIn(certificate);
    // What is being asked is answered; nothing more is asked by these connections.
    before.maxFreeSockets = 0;
    for (const sockets of Object.values(before.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

const settings = { keepAlive: true, maxSockets: CONNECTIONS_MAX };

/** The first DNS name of a certificate that tells anything about who has it. */
function nameIn(certificate: string): string | undefined {
  const { subjectAltName = "" } = new X509Certificate(certificate);
  const names = subjectAltName.split(", ").flatMap((one) => /^DNS:([A-Za-z0-9_.-]+)$/u.exec(one)?.[1] ?? []);
  return names.find((name) => name !== "localhost");
}

function identityFault(certificate: PeerCertificate, host: string, name: string | undefined): Error | undefined {
  if (checkServerIdentity(host, certificate) === undefined) return undefined;
  if (name !== undefined && checkServerIdentity(name, certificate) === undefined) return undefined;
  const wanted = name === undefined ? host : `${host} or ${name}`;
  const has = certificate.subjectaltname ?? certificate.subject.CN;
  return new Error(`its certificate is not for ${wanted}, it is for ${String(has).slice(0, 200)}`);
}
