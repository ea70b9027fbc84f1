// One stream of the table feed, from connecting to its end. Whatever the other side sends, it ends in one call of `ended` and in
// nothing worse.

import { Client, Metadata, credentials as channelCredentials, status } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientDuplexStream } from "@grpc/grpc-js";
import { decodeFromControl, encodeFromSidecar } from "../../feed/codec.ts";
import { FOLLOW_PATH } from "../../feed/messages.ts";
import type { FromControl, FromSidecar, Hello } from "../../feed/messages.ts";
import type { Credentials } from "./credentials.ts";

/** Sign of life, when nothing is said: a control plane that has vanished without a FIN is missed after both together. */
const PING_MS = 20_000;
const PONG_MS = 10_000;
/** To the first message: the control plane says something at once, even when there is nothing new. */
const FIRST_MESSAGE_MS = 15_000;
/** Larger than what a control plane sends in one piece. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/** What a goodbye gets to reach the other side. */
const CLOSE_MS = 500;

/** Why a stream has ended. */
export interface StreamEnd {
  /** `refused`: trying again is of no use before somebody has changed something. */
  readonly kind: "gone" | "refused" | "nonsense";
  /** For people: what happened, and what to do about it where that is known. */
  readonly why: string;
}

/** Where a stream leads. */
export interface StreamTarget {
  /** `host:port` */
  readonly control: string;
  readonly credentials: Credentials;
  /** Tests: less patience for the first message. */
  readonly firstMessageMs?: number | undefined;
}

/** Whom a stream tells. Nothing is called after `ended`. */
export interface StreamEvents {
  readonly message: (message: FromControl) => void;
  readonly ended: (end: StreamEnd) => void;
}

/** An open stream. */
export class FeedStream {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #control: string;
  readonly #events: StreamEvents;
  readonly #first: NodeJS.Timeout;
  readonly #done = Promise.withResolvers<void>();
  #ended = false;

  /** @throws Error when the credentials are of no use. */
  constructor(
    { control, credentials, firstMessageMs = FIRST_MESSAGE_MS }: StreamTarget,
    hello: Hello,
    events: StreamEvents,
  ) {
    this.#events = events;
    this.#control = control;
    this.#client = new Client(control, channelCredentialsOf(credentials), {
      "grpc.keepalive_time_ms": PING_MS,
      "grpc.keepalive_timeout_ms": PONG_MS,
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      // Another stream is another attempt: which replica, with which credentials and when is decided each time anew.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.service_config_disable_resolution": 1,
      // Tables do not go by way of a proxy for web pages.
      "grpc.enable_http_proxy": 0,
      ...(credentials.tls?.serverName === undefined
        ? {}
        : {
            "grpc.ssl_target_name_override": credentials.tls.serverName,
            "grpc.default_authority": credentials.tls.serverName,
          }),
    });
    const metadata = new Metadata();
    if (credentials.token !== undefined) metadata.set("authorization", `Bearer ${credentials.token}`);
    const same = (bytes: Buffer): Buffer => bytes;
    this.#call = this.#client.makeBidiStreamRequest<Buffer, Buffer>(FOLLOW_PATH, same, same, metadata);
    this.#call.on("data", (bytes: Buffer) => this.#receive(bytes));
    // An error is followed by a status; what is said twice counts once.
    this.#call.on("error", (error) => this.#end(endOf(error, this.#control)));
    this.#call.on("end", () => this.#end({ kind: "gone", why: `${control} has ended the stream` }));
    this.#first = setTimeout(() => {
      this.#end({ kind: "gone", why: `${control} has said nothing for ${firstMessageMs} ms` });
    }, firstMessageMs);
    this.send({ kind: "hello", hello });
  }

  /** Sends a message; one that cannot be sent any more is dropped. */
  send(message: FromSidecar): void {
    if (!this.#ended) this.#call.write(encodeFromSidecar(message));
  }

  /** No further message, and no event any more; resolves when what was sent has gone out, or after a moment. */
  async close(): Promise<void> {
    if (!this.#ended) {
      this.#ended = true;
      clearTimeout(this.#first);
      this.#call.once("status", () => this.#done.resolve());
      setTimeout(() => this.#done.resolve(), CLOSE_MS).unref();
      this.#call.end();
      await this.#done.promise;
    }
    this.#release();
  }

  /** Ends it from this side because of what has come; what was sent before still goes out. */
  abandon(why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#first);
    this.#call.end();
    setTimeout(() => this.#release(), CLOSE_MS).unref();
    this.#events.ended({ kind: "nonsense", why });
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    clearTimeout(this.#first);
    let message: FromControl;
    try {
      message = decodeFromControl(bytes);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      return this.abandon(
        `${this.#control} sends what is no message of the table feed (${what}); is it the feed's port?`,
      );
    }
    try {
      this.#events.message(message);
    } catch (error) {
      // A bug of ours, which must not end the process.
      this.abandon(`a message could not be handled: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #end(end: StreamEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#first);
    this.#release();
    this.#events.ended(end);
  }

  #release(): void {
    // Cancelling tells it by an error event, for which there is a listener.
    this.#call.cancel();
    this.#client.close();
  }
}

function channelCredentialsOf({ tls }: Credentials): ChannelCredentials {
  if (tls === undefined) return channelCredentials.createInsecure();
  const { ca = null, key = null, certificate = null } = tls;
  return channelCredentials.createSsl(ca, key, certificate);
}

function endOf(error: Error & { readonly code?: unknown; readonly details?: unknown }, control: string): StreamEnd {
  const details = typeof error.details === "string" && error.details !== "" ? error.details : error.message;
  // grpc-js wraps what the socket said.
  const said = details
    .replace(/^No connection established\. Last error: (?:Error: )?/u, "")
    .replace(/\.? *Resolution note: *$/u, "");
  switch (error.code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return {
        kind: "refused",
        why: `${control} does not accept this sidecar's credentials (${said}); give it a token or a certificate with the role sidecar: table.tokenFile, table.tls`,
      };
    case status.INVALID_ARGUMENT:
      return {
        kind: "refused",
        why: `${control} does not accept this sidecar's hello (${said}); see service, sandbox and table.services`,
      };
    case status.UNIMPLEMENTED:
      return {
        kind: "refused",
        why: `${control} has no table feed (${said}); table.control is the address of the control plane's feed`,
      };
    default:
      return { kind: "gone", why: `${control}: ${said}` };
  }
}
