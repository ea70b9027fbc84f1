import { RequestView } from "../protocol/context/request-view.ts";
import type { WatchList } from "../protocol/context/request-view.ts";

/** A request as somebody asks about it, instead of sending it. */
export interface AskedRequest {
  /** Authority as a caller writes it, with or without port. */
  readonly authority: string;
  /** Request target: `/x?sidelane=pr-7`. */
  readonly path?: string;
  /** In order; a `host` among them is not looked at, see `authority`. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The request as the proxy's parsers would give it to whatever looks for keys. */
export function viewOf({ authority, path = "/", headers }: AskedRequest, watch: WatchList): RequestView {
  const view = new RequestView();
  const { host, port } = splitAuthority(authority);
  view.targetBytes = Buffer.from(path);
  view.targetEnd = view.targetBytes.length;
  view.hostBytes = Buffer.from(host);
  view.hostEnd = view.hostBytes.length;
  view.hostPort = port === "" ? -1 : Number(port);
  for (const [name, value] of headers) {
    const number = watch.numberOf(name.toLowerCase());
    const bytes = Buffer.from(value.trim());
    if (number !== -1) view.add(number, bytes, 0, bytes.length);
  }
  return view;
}

/** The value of the request's `host` header, if it has one. */
export function hostHeader(headers: AskedRequest["headers"]): string | undefined {
  const value = headers.find(([name]) => name.toLowerCase() === "host")?.[1].trim();
  return value === "" ? undefined : value;
}

/** `[::1]:80` and `checkout:80`; the port is "" when there is none, or when it is a name. */
function splitAuthority(authority: string): { readonly host: string; readonly port: string } {
  const match = /^(.*):([0-9]{1,5})$/u.exec(authority);
  if (match === null || (authority.startsWith("[") && !(match[1] ?? "").endsWith("]"))) {
    return { host: authority, port: "" };
  }
  return { host: match[1] ?? "", port: match[2] ?? "" };
}
