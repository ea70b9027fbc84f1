// The way in: `GET /v1/connect` with `Upgrade: websocket`. What is asked for is written to the table first, so that whoever is
// refused hears why with a status and a sentence, before there is a WebSocket.

import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import { problemAnswer } from "../../admin/answer.ts";
import { STATUS_CODES } from "../../admin/node-http.ts";
import type { Log } from "../../base/log.ts";
import { mayAct } from "../auth.ts";
import type { Identity } from "../auth.ts";
import type { Refusal } from "../writer.ts";
import type { ConnectHub } from "./hub.ts";
import type { ConnectRequest } from "./plan.ts";
import { MESSAGE_BYTES_MAX, SESSION_HEADER, SUBPROTOCOL, TARGETS_MAX, parseTarget } from "./wire.ts";

/** Answers an upgrade request, and owns the socket from then on. `mayStay` says whether its credentials are still good. */
export type ConnectUpgrade = (
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  identity: Identity,
  mayStay?: () => boolean | Promise<boolean>,
) => void;

/** Between two looks whether the credentials of a machine are still good: as for the table feed. */
const AUTHORISE_MS = 30_000;
/** RFC 6455 §7.4.1: a policy is violated. */
const POLICY_VIOLATION = 1008;

/** As `ApiBackend.connect` wants it. */
export function connectUpgrade(hub: ConnectHub, log: Log, authoriseMs: number = AUTHORISE_MS): ConnectUpgrade {
  const server = new WebSocketServer({
    noServer: true,
    // What goes through is mostly compressed, and a window per connection costs more than it saves.
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  return (request, socket, head, identity, mayStay = () => true) => {
    socket.on("error", () => socket.destroy());
    const asked = readRequest(request, identity);
    if ("status" in asked) return refuse(socket, asked);
    void admit(asked, socket, () => {
      server.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on("error", () => {}); // followed by "close"
        const looks = setInterval(() => {
          void look(mayStay, webSocket);
        }, authoriseMs).unref();
        webSocket.on("close", () => clearInterval(looks));
        hub.attach(asked.session, webSocket);
      });
    });
  };

  async function look(mayStay: () => boolean | Promise<boolean>, webSocket: WebSocket): Promise<void> {
    if (!(await mayStay())) webSocket.close(POLICY_VIOLATION, "the credentials are no longer good");
  }

  async function admit(asked: ConnectRequest, socket: Duplex, upgrade: () => void): Promise<void> {
    try {
      const refusal = await hub.admit(asked);
      if (refusal !== undefined) refuse(socket, { status: statuses[refusal.refused], detail: refusal.message });
      // Gone meanwhile: it has the grace to come back.
      else if (!socket.destroyed) upgrade();
    } catch (error) {
      log.error("a machine could not be connected", { error: error instanceof Error ? error.message : String(error) });
      refuse(socket, { status: 500, detail: "the request failed inside Sidelane; its log says more" });
    }
  }
}

interface Refused {
  readonly status: number;
  readonly detail: string;
}

const statuses: Readonly<Record<Refusal["refused"], number>> = {
  "not-found": 404,
  exists: 409,
  changed: 409,
  "in-use": 409,
  managed: 409,
  invalid: 400,
  busy: 503,
  "store-down": 503,
};

const MACHINE_CHARS_MAX = 128;

function readRequest(request: IncomingMessage, identity: Identity): ConnectRequest | Refused {
  const bad = (detail: string): Refused => ({ status: 400, detail });
  if (!mayAct(identity.role, "editor")) {
    return { status: 403, detail: `${identity.name} may read; connecting needs the role editor` };
  }
  // A page in a developer's browser may open WebSockets to anywhere, and the browser says so (RFC 6454 §7).
  if (request.headers.origin !== undefined) return { status: 403, detail: "web pages may not connect" };
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/u);
  if (!offered.includes(SUBPROTOCOL)) {
    return bad(`the WebSocket has to offer the subprotocol ${SUBPROTOCOL}; is 'sidelane connect' of this version?`);
  }
  const secret = request.headers[SESSION_HEADER];
  if (typeof secret !== "string" || !/^[A-Za-z0-9_-]{32,128}$/u.test(secret)) {
    return bad(`the field ${SESSION_HEADER} has to hold 32 to 128 letters and digits that nobody can guess`);
  }
  const query = URL.parse(request.url ?? "", "http://control")?.searchParams ?? new URLSearchParams();
  const sandbox = query.get("sandbox") ?? "";
  if (sandbox === "") return bad("the parameter sandbox is missing");
  const services = query.getAll("service");
  if (services.length === 0 || services.length > TARGETS_MAX) {
    return bad(
      `give the parameter service 1 to ${TARGETS_MAX} times: checkout, or ledger:grpc for one of several ports`,
    );
  }
  if (new Set(services).size < services.length) return bad("a service, or a port of one, is named twice");
  return {
    sandbox,
    targets: services.map(parseTarget),
    session: createHash("sha256").update(secret).digest("hex").slice(0, 32),
    create: query.get("create") === "true",
    takeOver: query.get("takeOver") === "true",
    by: identity.name,
    machine: (query.get("machine") ?? "").replaceAll(/[^\x20-\x7e]/gu, "?").slice(0, MACHINE_CHARS_MAX) || "unknown",
  };
}

function refuse(socket: Duplex, { status, detail }: Refused): void {
  if (!socket.writable) return void socket.destroy();
  const { body, contentType } = problemAnswer(status, detail);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nserver: sidelane\r\ncontent-type: ${contentType}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`,
  );
}
