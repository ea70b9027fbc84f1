// One request to the control plane. On node:http, because fetch takes no certificate authority of ours.

import type { ControlAccess } from "./access.ts";
import { RefusedError } from "../base/refused-error.ts";
import { request as httpRequest } from "node:http";
import type { IncomingMessage, RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { connectionCauses, isDistrust } from "../base/connection-causes.ts";

/** What is asked. */
export interface ControlRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `/v1/sandboxes?label=a%3Db` */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Until the head of the answer, and between two pieces of it. */
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
}

/** A whole answer, whatever its status. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** The control plane gave no answer. The message says which address was asked, why, and how another is named. */
class UnreachableError extends RefusedError {}

const WITHIN_MS = 30_000;
/** A table of 100,000 sandboxes has some 20 MB. */
const BODY_BYTES_MAX = 512 * 1024 * 1024;

/** Asks; rejects with an `UnreachableError`. */
export async function exchange(access: ControlAccess, asked: ControlRequest): Promise<Reply> {
  const response = await openAnswer(access, asked);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > BODY_BYTES_MAX) throw new Error("the answer has no end");
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(access, asked, error);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString("utf8") };
}

/** Nothing was asked where these stand: there was no connection. */
const unconnected: readonly (string | undefined)[] = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
];

/**
 * Asks; resolves with the head of the answer, whose body is read by the caller. A replica that cannot be connected to is passed
 * over for the next. Rejects with an `UnreachableError`.
 */
export function openAnswer(access: ControlAccess, asked: ControlRequest): Promise<IncomingMessage> {
  const { method, path, body, headers = {}, withinMs = WITHIN_MS, signal } = asked;
  const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const { url, token, manager, ca, certificate, certificateKey } = access;
  const isTls = url.startsWith("https:");
  const options: RequestOptions & { ca?: Buffer; cert?: Buffer; key?: Buffer } = {
    method,
    agent: false,
    headers: {
      accept: "application/json",
      ...(text === undefined ? {} : { "content-type": "application/json", "content-length": text.length }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(manager === undefined ? {} : { "sidelane-manager": manager }),
      ...headers,
    },
    ...(signal === undefined ? {} : { signal }),
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(certificateKey === undefined ? {} : { key: certificateKey }),
  };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      if (access.next !== undefined && unconnected.includes((error as NodeJS.ErrnoException).code)) {
        resolve(openAnswer(access.next, asked));
      } else reject(unreachable(access, asked, error));
    };
    try {
      const request = (isTls ? httpsRequest : httpRequest)(`${url}${path}`, options, resolve);
      request.setTimeout(withinMs, () => request.destroy(new Error(`no answer within ${withinMs / 1000} s`)));
      request.on("error", fail);
      request.end(text);
    } catch (error) {
      fail(error); // certificates that are none
    }
  });
}

const causes: Readonly<Record<string, string>> = {
  ...connectionCauses,
  EPROTO: "this is no TLS server, write http:// instead of https://",
  HPE_INVALID_CONSTANT: "this is no HTTP server; with TLS write https://",
};

function unreachable({ url, from }: ControlAccess, { signal }: ControlRequest, error: unknown): Error {
  if (signal?.aborted === true) return error instanceof Error ? error : new Error("aborted");
  const { code = "", message } = error as NodeJS.ErrnoException;
  const { errors = [] } = error as { readonly errors?: readonly NodeJS.ErrnoException[] }; // one per address of the name
  const first = errors[0]?.code;
  const why = causes[code] ?? causes[first ?? ""] ?? (message || code);
  if (isDistrust(code)) {
    const hint = "name the authority that signed its certificate with --ca FILE or SIDELANE_CA";
    return new UnreachableError(`the control plane at ${url} cannot be trusted: ${message}; ${hint}`);
  }
  return new UnreachableError(`the control plane at ${url} cannot be reached: ${why}\n${advice[from]}`);
}

const advice: Readonly<Record<ControlAccess["from"], string>> = {
  "--control": "That address is from --control.",
  SIDELANE_CONTROL: "That address is from SIDELANE_CONTROL.",
  default:
    "That is the address of a control plane on this machine ('sidelane control' starts one). " +
    "Set SIDELANE_CONTROL, or give --control, for another: --control http://control.example:15020",
};
