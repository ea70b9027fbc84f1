// Opening the WebSocket, and telling what can pass from what cannot.

import type { ControlAccess } from "../../client/access.ts";
import { RefusedError } from "../../base/refused-error.ts";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, createWebSocketStream } from "ws";
import type { ClientOptions } from "ws";
import { CONNECT_PATH, MESSAGE_BYTES_MAX, SESSION_HEADER, SUBPROTOCOL } from "../../control/connect/wire.ts";
import { connectionCauses } from "../../base/connection-causes.ts";
import { refusalOf } from "../../client/failure.ts";

/** What is asked for, each time. */
export interface Dialled {
  readonly sandbox: string;
  readonly services: readonly string[];
  readonly create: boolean;
  readonly takeOver: boolean;
  readonly machine: string;
  /** The session's secret. */
  readonly secret: string;
}

/** A WebSocket that is open, with the bytes in its messages; or why not now. */
export type DialOutcome = Opened | { readonly later: string };

export interface Opened {
  readonly socket: WebSocket;
  readonly bytes: Duplex;
}

/** The answer may take the time of a commit. */
const HANDSHAKE_MS = 15_000;
const BODY_CHARS_MAX = 64 * 1024;
/** Not the fault of what was asked: another time, or another replica. */
const passing: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Resolves with how it went; rejects with a `RefusedError` for what will not get better by itself. */
export function dial(access: ControlAccess, asked: Dialled, signal: AbortSignal): Promise<DialOutcome> {
  const query = new URLSearchParams({ sandbox: asked.sandbox, machine: asked.machine });
  for (const service of asked.services) query.append("service", service);
  if (asked.create) query.set("create", "true");
  if (asked.takeOver) query.set("takeOver", "true");
  const { token, ca, certificate, certificateKey } = access;
  const options: ClientOptions = {
    headers: {
      [SESSION_HEADER]: asked.secret,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    handshakeTimeout: HANDSHAKE_MS,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(certificateKey === undefined ? {} : { key: certificateKey }),
  };
  return new Promise((resolve, reject) => {
    const url = `${access.url.replace(/^http/u, "ws")}${CONNECT_PATH}?${query.toString()}`;
    let socket: WebSocket;
    try {
      socket = new WebSocket(url, [SUBPROTOCOL], options);
    } catch (error) {
      return reject(refused(access, error)); // certificates that are none
    }
    const give = (): void => socket.terminate();
    signal.addEventListener("abort", give, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", give));
    socket.once("open", () => {
      signal.removeEventListener("abort", give);
      // Here, and not by whoever awaits this: the first message may come earlier, and would be lost.
      resolve({ socket, bytes: createWebSocketStream(socket) });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (isLasting(error)) reject(refused(access, error));
      else resolve({ later: `${access.url}: ${reasonOf(error)}` });
    });
    socket.on("unexpected-response", (request, response: IncomingMessage) => {
      void readBody(response).then((body) => {
        const { statusCode: status = 0, headers } = response;
        const refusal = refusalOf({ status, headers, body }, access);
        if (passing.has(status)) resolve({ later: `${access.url}: ${refusal.detail}` });
        else reject(refusal);
        return request.destroy();
      });
    });
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  try {
    for await (const piece of response as AsyncIterable<string>) {
      text += piece;
      if (text.length > BODY_CHARS_MAX) break;
    }
  } catch {
    // The status says enough.
  }
  return text;
}

function reasonOf(error: NodeJS.ErrnoException): string {
  const { errors = [] } = error as { readonly errors?: readonly NodeJS.ErrnoException[] }; // one per address of the name
  return (
    connectionCauses[error.code ?? ""] ??
    connectionCauses[errors[0]?.code ?? ""] ??
    (error.message || (error.code ?? "no connection"))
  );
}

/** OpenSSL's words for a certificate that cannot be believed, and for a peer that speaks no TLS. */
function isLasting({ code = "" }: NodeJS.ErrnoException): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY)|^EPROTO$|^ERR_SSL|^HPE_|^WS_ERR/u.test(code);
}

function refused({ url }: ControlAccess, error: unknown): RefusedError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (/^EPROTO$|^ERR_SSL/u.test(code)) {
    return new RefusedError(`the control plane at ${url} speaks no TLS, or another; write http:// if it has none`);
  }
  if (/^HPE_|^WS_ERR/u.test(code)) {
    return new RefusedError(
      `${url} gave no answer of a control plane (${message}); check SIDELANE_CONTROL or --control`,
    );
  }
  const hint = "name the authority that signed its certificate with --ca FILE or SIDELANE_CA";
  return new RefusedError(`the control plane at ${url} cannot be trusted: ${message}; ${hint}`);
}
