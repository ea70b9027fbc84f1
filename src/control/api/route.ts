// One definition per endpoint of the API: what it takes, what it answers, who may ask. The server, the OpenAPI document and its
// tests all come from it.

import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { z } from "zod";
import { problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import type { Admission } from "../../admin/http-server.ts";
import type { Parameter } from "../../admin/query.ts";
import type { Route } from "../../admin/route.ts";
import type { Role } from "../../config/control-config.ts";
import { mayAct } from "../auth.ts";
import type { Identity } from "../auth.ts";
import type { ApiBackend } from "./backend.ts";

/** What a route answers from. */
export interface ApiCall {
  readonly backend: ApiBackend;
  /** Who asks; of routes that are open to anybody `nobody`. */
  readonly identity: Identity;
  /** What is open at this server. */
  readonly waits: { open: number };
}

/** A query parameter as the document describes it. */
export interface ApiParameter extends Parameter {
  readonly schema: Readonly<Record<string, unknown>>;
}

/** One kind of answer. */
export interface ApiAnswer {
  readonly doc: string;
  readonly contentType: string;
  /** Absent: text. */
  readonly schema?: z.ZodType;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One endpoint. */
export interface ApiRoute extends Route<ApiCall> {
  /** For generated clients. */
  readonly operationId: string;
  readonly tag: string;
  /** What somebody has to be at least; `anyone`: no credentials are asked for. */
  readonly role: Role | "anyone";
  readonly parameters: readonly ApiParameter[];
  readonly body?: { readonly schema: z.ZodType; readonly contentTypes: readonly string[]; readonly example: unknown };
  /** Request headers that mean something, with their documentation. */
  readonly headers?: Readonly<Record<string, string>>;
  /** By status; problems that any route may answer with need not be here. */
  readonly answers: Readonly<Record<number, ApiAnswer>>;
}

const nobody: Identity = { name: "anonymous", role: "sidecar", replica: false };

/** Lets in whoever has the role that a route asks for. */
export async function admit(
  request: IncomingMessage,
  route: Pick<ApiRoute, "role">,
  call: Omit<ApiCall, "identity">,
): Promise<Admission<ApiCall>> {
  if (route.role === "anyone") return { backend: { ...call, identity: nobody } };
  const identity = await identify(request, call.backend);
  if ("refused" in identity) return identity;
  if (!mayAct(identity.role, route.role)) {
    const detail = `${identity.name} is a ${identity.role}, and this needs a ${route.role}`;
    return { refused: problemAnswer(403, detail) };
  }
  return { backend: { ...call, identity } };
}

/** Who asks, by token or certificate. */
export async function identify(
  request: IncomingMessage,
  { authority }: Pick<ApiBackend, "authority">,
): Promise<Identity | { readonly refused: Answer }> {
  const { authorization } = request.headers;
  const bearer = /^bearer +([^\s]+) *$/iu.exec(authorization ?? "")?.[1];
  if (authorization !== undefined && bearer === undefined) {
    return {
      refused: unauthorised("the Authorization field is not a bearer token; write Authorization: Bearer TOKEN"),
    };
  }
  const identity = await authority.identify(bearer, certificateName(request), request.socket.remoteAddress);
  if (!("refused" in identity)) return identity;
  const { refused, because } = identity;
  if (because !== "unavailable") return { refused: unauthorised(refused) };
  return { refused: problemAnswer(503, refused, {}, { "retry-after": String(UNAVAILABLE_SECONDS) }) };
}

/** What whoever cannot be told from others at the moment should wait. */
const UNAVAILABLE_SECONDS = 2;

/** RFC 6750 §3. */
function unauthorised(detail: string): Answer {
  return problemAnswer(401, detail, {}, { "www-authenticate": 'Bearer realm="sidelane"' });
}

/** Common name of a certificate that was verified. */
function certificateName({ socket }: IncomingMessage): string | undefined {
  const { authorized, getPeerCertificate } = socket as Partial<TLSSocket>;
  if (authorized !== true || getPeerCertificate === undefined) return undefined;
  const name = getPeerCertificate.call(socket as TLSSocket)?.subject?.CN;
  return typeof name === "string" && name !== "" ? name : undefined;
}
