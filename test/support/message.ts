// A second, obviously right reading of HTTP/1.1 messages, for tests: on text, in no hurry, and not the product's code.

/** What cannot be told from a message's own bytes. `bodyless`: a response to HEAD. */
export type MessageKind = "message" | "bodyless";

/** One message as it came over the wire, latin1. */
export interface Message {
  /** First line. */
  readonly start: string;
  /** Field lines as they came, without line ends. */
  readonly lines: readonly string[];
  /** Body without its framing. */
  readonly body: string;
  /** Trailer lines of a chunked body. */
  readonly trailers: readonly string[];
  /** Everything, as it came. */
  readonly raw: string;
  /** Status of a response, 0 for a request. */
  readonly status: number;
  /** Value of the first field of that name, in any case; undefined without. */
  field(name: string): string | undefined;
}

/** The message at the beginning of `text`, or undefined while it is incomplete. `ended`: nothing more will come. */
export function takeMessage(text: string, kind: MessageKind, ended: boolean): Message | undefined {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd === -1) return undefined;
  const [start = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const status = start.startsWith("HTTP/") ? Number(start.split(" ")[1]) : 0;
  const field = (name: string): string | undefined =>
    lines
      .find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`))
      ?.slice(name.length + 1)
      .trim();
  const bodyStart = headEnd + 4;
  const made = (body: string, trailers: readonly string[], end: number): Message => ({
    start,
    lines,
    body,
    trailers,
    raw: text.slice(0, end),
    status,
    field,
  });
  const bodyless = kind === "bodyless" || (status > 0 && status < 200) || status === 204 || status === 304;
  if (bodyless) return made("", [], bodyStart);
  if (field("transfer-encoding") === "chunked") {
    const chunked = takeChunked(text, bodyStart);
    return chunked === undefined ? undefined : made(chunked.body, chunked.trailers, chunked.end);
  }
  const length = field("content-length");
  if (length !== undefined) {
    const end = bodyStart + Number(length);
    return text.length < end ? undefined : made(text.slice(bodyStart, end), [], end);
  }
  if (status === 0) return made("", [], bodyStart);
  return ended ? made(text.slice(bodyStart), [], text.length) : undefined;
}

function takeChunked(
  text: string,
  start: number,
): { readonly body: string; readonly trailers: readonly string[]; readonly end: number } | undefined {
  let body = "";
  let at = start;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) break;
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
  }
  const trailers: string[] = [];
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return undefined;
    const line = text.slice(at, lineEnd);
    at = lineEnd + 2;
    if (line === "") return { body, trailers, end: at };
    trailers.push(line);
  }
}
