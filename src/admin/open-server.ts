// What a kubelet and a Prometheus ask, on an address that others reach (`admin.open`). Guarantees:
//
// - Nothing but these four questions is answered here, none of them changes anything, and none tells about the table or the
//   config: the rest of the admin server stays on its own address.
// - Connections that ask nothing do not keep anybody out (connection-room.ts): a probe that is not answered restarts an app.
// - `GET /reach/tcp/PORT` connects to the app's own ports only, so that nobody can have the sidecar look for others'.

import { connect } from "node:net";
import type { Log } from "../base/log.ts";
import { jsonAnswer, problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { AdminBackend } from "./backend.ts";
import { startHttpServer } from "./http-server.ts";
import type { HttpServer, ServerTimeouts } from "./http-server.ts";
import { healthRoutes } from "./routes.ts";
import type { Route } from "./route.ts";

const CONNECTIONS_MAX = 256;
const BODY_BYTES_MAX = 1024;
/** Kubelets wait a second for an answer by default: it has to be on its way before. */
const CONNECT_MS = 800;

/** An app's port that can be asked about. */
export interface ReachTarget {
  readonly host: string;
  readonly port: number;
}

/** What the open server answers from. */
export interface OpenBackend extends Pick<AdminBackend, "notReady" | "metrics"> {
  /** By port. */
  readonly targets: ReadonlyMap<number, ReachTarget>;
}

const routes: readonly Route<OpenBackend>[] = [
  ...healthRoutes,
  {
    method: "GET",
    path: "/reach/tcp/{port}",
    doc: "200 when the app's port takes a connection now, 503 when not: what a tcpSocket probe of that port would say",
    parameters: [],
    answer: ({ targets }, _query, _body, { path }) => reachAnswer(targets, path.get("port") ?? ""),
  },
];

/** Listens on `address`, which may be `*:port`; rejects with a `ServerAddressError`. */
export function startOpenAdmin(
  address: string,
  backend: OpenBackend,
  log: Log,
  timeouts?: ServerTimeouts,
): Promise<HttpServer> {
  return startHttpServer({
    address,
    setting: "admin.open",
    name: "open admin",
    routes,
    backend,
    log,
    connectionsMax: CONNECTIONS_MAX,
    bodyBytesMax: BODY_BYTES_MAX,
    timeouts,
  });
}

async function reachAnswer(targets: ReadonlyMap<number, ReachTarget>, text: string): Promise<Answer> {
  const target = /^[1-9][0-9]{0,4}$/u.test(text) ? targets.get(Number(text)) : undefined;
  if (target === undefined) {
    const ports = [...targets.keys()].toSorted((a, b) => a - b);
    const known = ports.length === 0 ? "there are none" : `these are ${ports.join(", ")}`;
    return problemAnswer(
      404,
      `${JSON.stringify(text.slice(0, 20))} is not a port that can be asked about: ${known}; add it to admin.reach`,
    );
  }
  const problem = await connectProblem(target);
  if (problem === undefined) return jsonAnswer(200, { port: target.port, reached: true });
  return problemAnswer(503, `${target.host}:${target.port} takes no connection: ${problem}`, { port: target.port });
}

/** Undefined when a connection was made; it is closed at once, as a kubelet does it. */
function connectProblem(target: ReachTarget): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: target.host, port: target.port });
    const timer = setTimeout(() => end(`no answer within ${CONNECT_MS} ms`), CONNECT_MS);
    const end = (problem: string | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem);
    };
    socket.on("connect", () => end(undefined));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end(error.code === "ECONNREFUSED" ? "refused, nothing listens there" : error.message),
    );
  });
}
