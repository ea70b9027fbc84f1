// TLS of one listener. Node's own `tls.Server` does it: one that never listens and is given the connections that the listener has
// accepted, which is the documented way to put TLS on a socket that is there already (docs/decisions/0011-tls-by-node.md).
//
// Guarantees: each connection's owner hears exactly one of `secured`, `plaintext` and `failed`; the first byte and the handshake
// each take no longer than `timeouts.headMs`; connections that exist keep the certificate they began with.

import type { Socket } from "node:net";
import { type SecureContextOptions, type Server, type TLSSocket, createServer } from "node:tls";
import { coarse } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { ListenerProtocol } from "../../config/proxy-config.ts";
import type { ListenerTlsConfig } from "../../config/tls-config.ts";
import { explainClientTls } from "./explain-tls-error.ts";
import { type PemContents, PemFiles, type PemFilesDeps, type PemStatus } from "./pem-files.ts";

/** What ALPN (RFC 7301) offers clients, best first. With `tcp` nothing: whatever a client asks for is not ours to settle. */
const OFFERS: Readonly<Record<ListenerProtocol, readonly string[]>> = {
  auto: ["h2", "http/1.1"],
  http1: ["http/1.1"],
  http2: ["h2"],
  tcp: [],
};
const LATE = "it took longer than timeouts.headMs";
/** Between two log lines about handshakes of one listener: a scanner can fail as often as it likes. */
const FAILURE_LOG_MS = 1000;

/** Hears what becomes of a connection. */
export interface HandshakeOwner {
  /** Decrypted bytes come from `socket`, nothing has been read yet. `beneath` is the TCP connection, for a reset. */
  secured(socket: TLSSocket, beneath: Socket): void;
  /** The client does not speak TLS. The socket is paused, what it has sent so far is unread, and a copy of it is `bytes`. */
  plaintext(socket: Socket, bytes: Uint8Array): void;
  /** The connection is closed. */
  failed(): void;
}

/** First byte of a record of type handshake, with which every TLS connection begins (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;

/** What a listener's TLS needs besides its config. */
export interface ListenerTlsDeps extends PemFilesDeps {
  readonly log: Log;
  /** `timeouts.headMs` */
  readonly headMs: number;
}

interface Handshake {
  readonly owner: HandshakeOwner;
  readonly socket: Socket;
  /** What the server said, when it did. */
  failure: string;
}

/** TLS of one listener. */
export class ListenerTls {
  /** Clients may begin without TLS. */
  readonly plaintextAllowed: boolean;
  readonly #name: string;
  readonly #config: ListenerTlsConfig;
  readonly #deps: ListenerTlsDeps;
  readonly #files: PemFiles;
  readonly #server: Server;
  /** By both ends' addresses: Node tells of a finished handshake with the TLS socket only. */
  readonly #handshakes = new Map<string, Handshake>();
  #failureLoggedMs = Number.NEGATIVE_INFINITY;
  #failuresUntold = 0;

  /** Reads the files; rejects with a sentence when they cannot be used. */
  static async start(
    listener: string,
    protocol: ListenerProtocol,
    config: ListenerTlsConfig,
    deps: ListenerTlsDeps,
  ): Promise<ListenerTls> {
    const tls = new ListenerTls(listener, protocol, config, deps);
    const contents = await tls.#files.start();
    try {
      tls.#server.setSecureContext(tls.#contextOf(contents));
    } catch (error) {
      tls.close();
      throw new Error(`TLS of ${tls.#files.name}: ${String(error)}`, { cause: error });
    }
    return tls;
  }

  private constructor(listener: string, protocol: ListenerProtocol, config: ListenerTlsConfig, deps: ListenerTlsDeps) {
    this.plaintextAllowed = config.plaintext === "allow";
    this.#name = listener;
    this.#config = config;
    this.#deps = deps;
    const { certificate, key, ca } = config;
    const paths = { certificate, key, ...(ca === undefined ? {} : { ca }) };
    // A new context has new ticket keys: nobody resumes a session that was begun under authorities that no longer count.
    const onChange = (contents: PemContents): void => this.#server.setSecureContext(this.#contextOf(contents));
    this.#files = new PemFiles(`listener ${listener}`, paths, onChange, deps);
    const offers = OFFERS[protocol];
    this.#server = createServer({
      ...(offers.length === 0 ? {} : { ALPNProtocols: [...offers] }),
      requestCert: config.clientCertificates !== "none",
      // With `optional` a certificate that is shown is judged below: Node would refuse those who show none, too.
      rejectUnauthorized: config.clientCertificates === "required",
      ...(deps.headMs === 0 ? {} : { handshakeTimeout: deps.headMs }),
    });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      const handshake = this.#handshakes.get(addressesOf(socket));
      if (handshake !== undefined) handshake.failure = explainClientTls(error);
      // The one failure after which Node leaves the connection to us.
      if (error.code === "ERR_TLS_HANDSHAKE_TIMEOUT") socket.destroy();
    });
  }

  #contextOf(contents: PemContents): SecureContextOptions {
    const { certificate, key, ca } = contents;
    return { cert: certificate, key, ca, minVersion: this.#config.minVersion };
  }

  /** Takes an accepted connection; nothing has been read from it, and it is not to be touched until `owner` hears of it. */
  accept(socket: Socket, owner: HandshakeOwner): void {
    const key = addressesOf(socket);
    const handshake: Handshake = { owner, socket, failure: "" };
    this.#handshakes.set(key, handshake);
    // Whatever ends a handshake, and Node is silent about some of it, closes the TCP connection in the end.
    const failed = (): void => {
      if (this.#handshakes.get(key) !== handshake) return;
      this.#handshakes.delete(key);
      this.#deps.stats.handshakes.downstream.failed++;
      this.#tellFailure(handshake);
      owner.failed();
    };
    const ignore = (): void => {};
    socket.on("error", ignore);
    socket.once("close", failed);
    // Whoever ends in the middle of a handshake is gone (TCP health checks are); afterwards a half-closed connection is served.
    socket.allowHalfOpen = false;
    const late = (): void => {
      handshake.failure = LATE;
      socket.destroy();
    };
    if (this.#deps.headMs > 0) socket.setTimeout(this.#deps.headMs, late);
    socket.once("data", (bytes: Buffer) => {
      socket.setTimeout(0, late);
      socket.pause();
      socket.unshift(bytes);
      if (bytes[0] === TLS_HANDSHAKE) {
        this.#server.emit("connection", socket);
        return;
      }
      this.#handshakes.delete(key);
      socket.off("error", ignore);
      socket.off("close", failed);
      socket.allowHalfOpen = true;
      owner.plaintext(socket, bytes);
    });
    socket.resume();
  }

  #secured(socket: TLSSocket): void {
    const key = addressesOf(socket);
    const handshake = this.#handshakes.get(key);
    if (handshake === undefined) {
      // The client is gone already, and with it its address.
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    if (this.#config.clientCertificates === "optional" && !socket.authorized && showsCertificate(socket)) {
      handshake.failure = `its certificate is not good (${String(socket.authorizationError)})`;
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    this.#handshakes.delete(key);
    const { downstream } = this.#deps.stats.handshakes;
    if (socket.isSessionReused()) downstream.resumed++;
    else downstream.full++;
    // TLS 1.2 alone has it, and RFC 9113 §9.2.1 forbids it.
    socket.disableRenegotiation();
    socket.allowHalfOpen = true;
    handshake.owner.secured(socket, handshake.socket);
  }

  #tellFailure({ socket, failure }: Handshake): void {
    if (coarse.nowMs - this.#failureLoggedMs < FAILURE_LOG_MS) {
      this.#failuresUntold++;
      return;
    }
    this.#failureLoggedMs = coarse.nowMs;
    const silent =
      this.#config.clientCertificates === "none"
        ? "it went away in the middle"
        : "it went away in the middle, or its certificate is not good";
    this.#deps.log.info("TLS handshake with a client failed", {
      listener: this.#name,
      client: socket.remoteAddress,
      why: failure === "" ? silent : failure,
      ...(this.#failuresUntold === 0 ? {} : { othersBefore: this.#failuresUntold }),
    });
    this.#failuresUntold = 0;
  }

  /** Connections whose handshake is under way. */
  get handshaking(): number {
    return this.#handshakes.size;
  }

  /** Ends the connections that have not said a word; handshakes that have begun go on. Their owners hear `failed`. */
  endSilent(): void {
    for (const { socket } of this.#handshakes.values()) if (socket.bytesRead === 0) socket.destroy();
  }

  status(): PemStatus {
    return this.#files.status();
  }

  /** Ends handshakes and follows the files no longer. Connections that are secured stay. */
  close(): void {
    for (const { socket } of this.#handshakes.values()) socket.destroy();
    this.#files.close();
  }
}

/** The same for a TCP connection and for TLS on it, distinct for each pair that exists. */
function addressesOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function showsCertificate(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0;
}
