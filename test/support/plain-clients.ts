// Clients without TLS that speak HTTP as Node does, one request on a connection of its own.
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:http2";

/** What a client got. */
export interface PlainAnswer {
  readonly status: number;
  readonly body: string;
}

/** GET / over HTTP/1.1. */
export async function getPlain(
  port: number,
  host: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<PlainAnswer> {
  const sent = request({ host: "127.0.0.1", port, headers: { host, ...headers }, agent: false });
  sent.end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of answer) body += String(chunk);
  return { status: answer.statusCode ?? 0, body };
}

/** GET / over HTTP/2 with prior knowledge. */
export async function getH2c(
  port: number,
  authority: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<PlainAnswer> {
  const client = connect(`http://127.0.0.1:${port}`);
  try {
    const stream = client.request({ ":path": "/", ":authority": authority, ...headers });
    const [answer] = (await once(stream, "response")) as [Record<string, unknown>];
    let body = "";
    for await (const chunk of stream) body += String(chunk);
    return { status: Number(answer[":status"]), body };
  } finally {
    client.close();
  }
}
