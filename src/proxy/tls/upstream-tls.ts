// TLS to the endpoints of one service: whom to trust, what to ask for, sessions to resume.
//
// Guarantees: without `verify: false` no byte of a request is sent before the endpoint has proved the name that it was asked for;
// what fails says in one sentence why.

import { isIP } from "node:net";
import { type ConnectionOptions, type SecureContext, type TLSSocket, connect, createSecureContext } from "node:tls";
import type { UpstreamTlsConfig } from "../../config/tls-config.ts";
import type { EndpointTls } from "../endpoints/endpoint.ts";
import { TlsRefusal, explainUpstreamTls } from "./explain-tls-error.ts";
import { type PemContents, PemFiles, type PemFilesDeps, type PemStatus } from "./pem-files.ts";

/** Sessions kept for resumption; one per address, name and protocol of the service's endpoints. */
const SESSIONS_MAX = 1000;

/** TLS to one service. */
export class UpstreamTls {
  readonly #service: string;
  readonly #config: UpstreamTlsConfig;
  readonly #deps: PemFilesDeps;
  readonly #files: PemFiles;
  #context: SecureContext | undefined;
  /** By address, port, name and protocols. Oldest first. */
  readonly #sessions = new Map<string, Buffer>();

  /** Reads the files; rejects with a sentence when they cannot be used. */
  static async start(service: string, config: UpstreamTlsConfig, deps: PemFilesDeps): Promise<UpstreamTls> {
    const tls = new UpstreamTls(service, config, deps);
    const contents = await tls.#files.start();
    try {
      tls.#use(contents);
    } catch (error) {
      tls.close();
      throw new Error(`TLS of ${tls.#files.name}: ${String(error)}`, { cause: error });
    }
    return tls;
  }

  private constructor(service: string, config: UpstreamTlsConfig, deps: PemFilesDeps) {
    this.#service = service;
    this.#config = config;
    this.#deps = deps;
    const { certificate, key, ca } = config;
    const paths = {
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
      ...(ca === undefined ? {} : { ca }),
    };
    this.#files = new PemFiles(`upstream ${service}`, paths, (contents) => this.#use(contents), deps);
  }

  #use({ certificate, key, ca }: PemContents): void {
    this.#context = createSecureContext({ cert: certificate, key, ca, minVersion: "TLSv1.2" });
    // What was trusted under other authorities, or opened with another certificate, is not resumed.
    this.#sessions.clear();
  }

  /** @param endpoint `host:port`; the host is asked for when it is a name and the config has no `serverName`. */
  forEndpoint(endpoint: string): EndpointTls {
    const serverName = this.#serverName(endpoint.slice(0, endpoint.lastIndexOf(":")));
    const tls = {
      name: `tls:${this.#service}`,
      failed: false,
      connect: (options: ConnectionOptions, protocols: readonly string[]): TLSSocket =>
        this.#connect(options, protocols, serverName, (failed) => (tls.failed = failed)),
    };
    return tls;
  }

  /**
   * Begins a connection; `secureConnect` follows when the endpoint is trusted and speaks one of the protocols, else `error`
   * with a sentence about the endpoint, and `close`.
   *
   * @param options host (an address) and port, and what else the socket is to be.
   * @param protocols offered by ALPN (RFC 7301), best first; none: nothing is said of it.
   * @param note hears whether TLS failed.
   */
  #connect(
    options: ConnectionOptions,
    protocols: readonly string[],
    serverName: string,
    note: (failed: boolean) => void,
  ): TLSSocket {
    const at = `${options.host} ${options.port} ${serverName} ${protocols.join()}`;
    const session = this.#sessions.get(at);
    const context = this.#context;
    const socket = connect({
      ...options,
      secureContext: context,
      servername: serverName,
      rejectUnauthorized: this.#config.verify,
      ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
      ...(session === undefined ? {} : { session }),
    });
    const { upstream } = this.#deps.stats.handshakes;
    let secured = false;
    socket.on("session", (one) => {
      if (this.#context === context) this.#keep(at, one);
    });
    socket.once("secureConnect", () => {
      if (protocols.length > 0 && !protocols.includes(socket.alpnProtocol || "http/1.1")) {
        // RFC 9113 §3.2: over TLS, HTTP/2 is spoken only when it was settled by ALPN. Without ALPN it is HTTP/1.1.
        socket.destroy(new TlsRefusal(`it does not speak ${protocols.join(" or ")} over TLS (ALPN)`));
        return;
      }
      secured = true;
      note(false);
      if (socket.isSessionReused()) upstream.resumed++;
      else upstream.full++;
    });
    // The first listener: whoever hears of the error next finds it explained.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const explained = explainUpstreamTls(error, this.#service, serverName, this.#config.ca !== undefined);
      if (!secured) note(explained !== undefined);
      if (explained === undefined) return;
      error.message = explained;
      // It may have been the session that the endpoint did not like.
      this.#sessions.delete(at);
      if (!secured) upstream.failed++;
    });
    return socket;
  }

  #serverName(host: string): string {
    const { serverName } = this.#config;
    if (serverName !== undefined) return serverName;
    // Certificates are made for services; the address of a pod is in none. RFC 6066 §3: without the dot at its end.
    return host.startsWith("[") || isIP(host) !== 0 ? this.#service : host.replace(/\.$/u, "");
  }

  #keep(at: string, session: Buffer): void {
    this.#sessions.delete(at);
    this.#sessions.set(at, session);
    if (this.#sessions.size <= SESSIONS_MAX) return;
    for (const oldest of this.#sessions.keys()) {
      this.#sessions.delete(oldest);
      return;
    }
  }

  status(): PemStatus {
    return this.#files.status();
  }

  /** Follows the files no longer. Connections stay. */
  close(): void {
    this.#files.close();
    this.#sessions.clear();
  }
}
