// The requests of the group `tenancy`: the load of the other suites, with the key where a feature looks for it.

import { requestFields } from "../load/http2-requests.ts";

type Fields = readonly (readonly [name: string, value: string])[];

/** One kind of request, in the form that HTTP/2 has; `headOf` makes one of HTTP/1.1 of it. */
export interface Request {
  readonly path: string;
  readonly authority: string;
  readonly fields: Fields;
}

/** What makes a load differ from the plain one. */
export interface RequestShape {
  readonly path?: string;
  readonly authority?: string;
  /** The value of `baggage`. */
  readonly baggage?: string;
  readonly cookie?: string;
  /** `none`: no field with a trace id at all. */
  readonly trace?: "sampled" | "unsampled" | "none";
  /** Loads with another one have other traces; a letter of hexadecimal. */
  readonly traces?: string;
}

/** Traces that HTTP/1.1 loads take turns with; h2load has one kind of request only. */
export const tracesPerLoad = 64;

const plainAuthority = "checkout.shop.svc.cluster.local";
const plainPath = "/api/v1/orders/4711?expand=lines,customer";
/** As long as the member of the key, so that both cost the same to send. */
const keyedBaggage = "user.tier=gold,sidelane=pr-7,session.id=8f3a2c";
export const keylessBaggage = "user.tier=gold,region=eu-1-a,session.id=8f3a2c";

/** The request with the n-th trace of its load. */
export function requestOf(shape: RequestShape, n: number): Request {
  const { trace = "sampled", traces = "a", baggage = keyedBaggage } = shape;
  const digits = n.toString(16).padStart(8, "0");
  const flags = trace === "sampled" ? "01" : "00";
  const own: Record<string, string | undefined> = {
    traceparent: `00-${traces}bf92f3577b34da6a3ce929d${digits}-00f067aa0ba902b7-${flags}`,
    "x-request-id": `5f0c3b52-2c1d-4b8e-9f0${traces}-6d1d${digits}`,
  };
  const fields = requestFields.flatMap(([name, value]): Fields => {
    if (!(name in own)) return [[name, value]];
    return trace === "none" ? [] : [[name, own[name] ?? value]];
  });
  const cookies: Fields = shape.cookie === undefined ? [] : [["cookie", shape.cookie]];
  return {
    path: shape.path ?? plainPath,
    authority: shape.authority ?? plainAuthority,
    fields: [...fields, ...cookies, ["baggage", baggage]],
  };
}

/** The request as a head of HTTP/1.1. */
export function headOf({ path, authority, fields }: Request): string {
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${authority}`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** The heads that a load of HTTP/1.1 takes turns with. */
export function headsOf(shape: RequestShape): string[] {
  return Array.from({ length: tracesPerLoad }, (_, n) => headOf(requestOf(shape, n)));
}
