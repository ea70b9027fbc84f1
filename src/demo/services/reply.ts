import type { ServerResponse } from "node:http";

/** One service that took part in an answer; `instance` is `baseline` or the sandbox it belongs to. */
export interface Hop {
  readonly service: string;
  readonly instance: string;
}

/** The hop of this process, from its environment. */
export const self: Hop = {
  service: process.env["SERVICE"] ?? "unnamed",
  instance: process.env["INSTANCE"] ?? "baseline",
};

/** Answers with JSON. */
export function replyJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}

/** Passes another service's answer on, as it is. */
export async function replySame(response: ServerResponse, answer: Response): Promise<void> {
  const body = Buffer.from(await answer.arrayBuffer());
  response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain" });
  response.end(body);
}
