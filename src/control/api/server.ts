// The API of the control plane: what people, commands, machines of developers and other replicas talk to.

import { problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import { endWith, startHttpServer } from "../../admin/http-server.ts";
import type { HttpServer, ServerTimeouts, TlsContents } from "../../admin/http-server.ts";
import type { Route } from "../../admin/route.ts";
import type { Log } from "../../base/log.ts";
import { mayAct } from "../auth.ts";
import { BadQuestionError } from "../internal-routes.ts";
import type { InternalRoute } from "../internal-routes.ts";
import type { ApiBackend } from "./backend.ts";
import { openApiDocument } from "./openapi.ts";
import { overviewRoutes } from "./overview-routes.ts";
import { resourceRoutes } from "./resource-routes.ts";
import { admit, identify } from "./route.ts";
import type { ApiCall, ApiParameter, ApiRoute } from "./route.ts";

/** What the API runs with. */
export interface ApiOptions {
  /** `host:port`, port 0 for any free one. */
  readonly address: string;
  readonly backend: ApiBackend;
  readonly log: Log;
  /** Absent: without TLS. */
  readonly tls?: TlsContents | undefined;
  /** Told of each answer: method, pattern of the route ("" where there is none) and status. */
  readonly onAnswer?: ((method: string, route: string, status: number) => void) | undefined;
  /** Tests: other deadlines. */
  readonly timeouts?: ServerTimeouts;
}

const CONNECT_PATH = "/v1/connect";
/** A body of the largest size over a slow line. */
const timeoutsOfPeople: ServerTimeouts = { headMs: 5000, requestMs: 30_000, idleMs: 30_000 };

/** Every documented endpoint but `connect` and that of the document itself, which is made from them. */
const apiRoutes: readonly ApiRoute[] = [
  ...resourceRoutes("service"),
  ...resourceRoutes("sandbox"),
  ...resourceRoutes("group"),
  ...overviewRoutes,
];

/** What src/control/connect/upgrade.ts reads. */
const connectParameters: readonly ApiParameter[] = [
  { name: "sandbox", doc: "whose services they are", schema: { type: "string" } },
  {
    name: "service",
    doc: "service, or service:port, that the machine answers for",
    repeatable: true,
    schema: { type: "array", items: { type: "string" } },
  },
  { name: "create", doc: "true: make the sandbox where there is none", schema: { type: "string" } },
  { name: "takeOver", doc: "true: also where another machine answers", schema: { type: "string" } },
  { name: "machine", doc: "its name", schema: { type: "string" } },
];

/** Listens; rejects with a `ServerAddressError`. */
export function startApi({
  address,
  backend,
  log,
  tls,
  onAnswer,
  timeouts = timeoutsOfPeople,
}: ApiOptions): Promise<HttpServer> {
  const call = { backend, waits: { open: 0 } };
  const { bodyBytesMax, connectionsMax } = backend.limits;
  // The routes of replicas are not documented: they change with any version.
  const roles = new Map<Route<ApiCall>, Pick<ApiRoute, "role">>(
    documented(backend.version).map((route) => [route, route]),
  );
  for (const internal of backend.internal) roles.set(internalRoute(internal), { role: "viewer" });
  return startHttpServer<ApiCall>({
    address,
    setting: "api.address",
    name: "control",
    variablePrefix: "SIDELANE_CONTROL_",
    routes: [...roles.keys()],
    backend: { ...call, identity: { name: "anonymous", role: "sidecar", replica: false } },
    log,
    connectionsMax,
    bodyBytesMax,
    timeouts,
    tls,
    onAnswer,
    admit: (request, route) => admit(request, roles.get(route) ?? { role: "editor" }, call),
    upgrade: {
      path: CONNECT_PATH,
      take(request, socket, head) {
        // Until somebody else owns it.
        const gone = (): void => void socket.destroy();
        socket.on("error", gone);
        const take = async (): Promise<void> => {
          const identity = await identify(request, backend);
          socket.off("error", gone);
          if (socket.destroyed) return;
          if ("refused" in identity) return endWith(socket, identity.refused);
          if (!mayAct(identity.role, "editor")) {
            const detail = `${identity.name} is a ${identity.role}, and this needs an editor`;
            return endWith(socket, problemAnswer(403, detail));
          }
          const mayStay = async (): Promise<boolean> => {
            const now = await identify(request, backend);
            return !("refused" in now) && mayAct(now.role, "editor");
          };
          backend.connect(request, socket, head, identity, mayStay);
        };
        void take();
      },
    },
  });
}

/** The OpenAPI document that `GET /openapi.json` answers. */
export function apiDocument(version: string): object {
  return openApiDocument(documented(version), version);
}

function documented(version: string): readonly ApiRoute[] {
  let text: string | undefined;
  const routes: readonly ApiRoute[] = [
    ...apiRoutes,
    {
      method: "GET",
      path: CONNECT_PATH,
      operationId: "connect",
      tag: "connect",
      role: "editor",
      doc: "for sidelane connect: a WebSocket through which a machine answers for services of a sandbox",
      parameters: connectParameters,
      answers: { 101: { doc: "The WebSocket.", contentType: "" } },
      answer: () =>
        problemAnswer(426, "this is where sidelane connect opens a WebSocket", {}, { upgrade: "websocket" }),
    },
    {
      method: "GET",
      path: "/openapi.json",
      operationId: "getDescription",
      tag: "health",
      role: "anyone",
      doc: "this description, OpenAPI 3.1",
      parameters: [],
      answers: { 200: { doc: "The document.", contentType: "application/json" } },
      answer: () => {
        text ??= `${JSON.stringify(openApiDocument(routes, version), null, 2)}\n`;
        return { status: 200, contentType: "application/json", body: text };
      },
    },
  ];
  return routes;
}

function internalRoute(route: InternalRoute): Route<ApiCall> {
  const { method, path } = route;
  return {
    method,
    path,
    doc: "for other replicas",
    parameters: [{ name: "id", doc: "of a trace" }],
    async answer({ identity }, query, body): Promise<Answer> {
      if (!identity.replica) return problemAnswer(403, "this is for other replicas of the control plane");
      const parameters = new URLSearchParams();
      for (const [name, values] of query) for (const value of values) parameters.append(name, value);
      try {
        const asked: unknown = method === "GET" ? undefined : JSON.parse(body.toString("utf8"));
        return {
          status: 200,
          contentType: "application/json",
          body: JSON.stringify(await route.answer(parameters, asked)),
        };
      } catch (error) {
        if (!(error instanceof BadQuestionError || error instanceof SyntaxError)) throw error;
        return problemAnswer(400, error.message);
      }
    },
  };
}
