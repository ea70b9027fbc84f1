// Before a proxy is measured with HTTP/2 or gRPC: it routes as the others do, and what it forwards is what was sent.

import { Buffer } from "node:buffer";
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { authority, grpcAnswer, grpcPath, grpcQuestion, largeBodyBytes, path } from "./load/http2-requests.ts";
import { backendBody, backendHeader, type Destination } from "./load/requests.ts";
import { eachRoutingCase, expectSame, markOf } from "./verify.ts";

/** A whole answer. */
export interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/** A request; without `fields` it has the `baggage` alone. */
export interface Question {
  readonly path: string;
  readonly baggage?: string | undefined;
  /** By default that of http2-requests.ts. */
  readonly authority?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
  readonly body?: Buffer;
  readonly isGrpc?: boolean;
}

const answerMs = 5_000;

/** Small answers. @returns the bytes of one body. */
export async function verifyHttp2(name: string, port: number, hasRule: boolean): Promise<number> {
  await eachRoutingCase(name, hasRule, async (what, baggage, goesTo) => {
    const answer = await ask(what, port, { path, baggage });
    expectRouted(what, answer, goesTo);
    expectSame(`${what}: body`, answer.body.toString(), backendBody(goesTo));
  });
  return Buffer.byteLength(backendBody("sandbox"));
}

/** Unary calls. @returns the bytes of one message. */
export async function verifyGrpc(name: string, port: number, hasRule: boolean): Promise<number> {
  await eachRoutingCase(name, hasRule, async (what, baggage, goesTo) => {
    const answer = await ask(what, port, { path: grpcPath, baggage, body: grpcQuestion, isGrpc: true });
    expectRouted(what, answer, goesTo);
    expectSame(`${what}: grpc-status`, answer.trailers["grpc-status"], "0");
    expectSame(`${what}: message is whole`, answer.body.equals(grpcAnswer(goesTo)), true);
  });
  return grpcAnswer("sandbox").length;
}

/** Bodies of 1 MiB both ways. @returns the bytes of a download. */
export async function verifyBodies(name: string, port: number, hasRule: boolean): Promise<number> {
  await eachRoutingCase(name, hasRule, async (what, baggage, goesTo) => {
    const download = await ask(what, port, { path, baggage });
    expectRouted(what, download, goesTo);
    expectSame(`${what}: bytes downloaded`, download.body.length, largeBodyBytes);
    const upload = await ask(what, port, { path, baggage, body: Buffer.alloc(largeBodyBytes, "sidelane ") });
    expectRouted(what, upload, goesTo);
    expectSame(`${what}: answer to an upload`, upload.body.toString(), backendBody(goesTo));
  });
  return largeBodyBytes;
}

function expectRouted(what: string, answer: Answer, goesTo: Destination): void {
  expectSame(`${what}: status`, answer.headers[":status"], 200);
  expectSame(`${what}: went to`, answer.headers[backendHeader.toLowerCase()], markOf(goesTo));
}

/** Asks over a connection of its own. @throws Error that begins with `what`. */
export async function ask(what: string, port: number, question: Question): Promise<Answer> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    return await exchange(session, question);
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    session.destroy();
  }
}

async function exchange(session: ClientHttp2Session, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    session.on("error", reject);
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: question.body === undefined ? "GET" : "POST",
      [constants.HTTP2_HEADER_PATH]: question.path,
      [constants.HTTP2_HEADER_AUTHORITY]: question.authority ?? authority,
      ...Object.fromEntries(question.fields ?? []),
      ...(question.baggage === undefined ? {} : { baggage: question.baggage }),
      ...(question.isGrpc === true ? { "content-type": "application/grpc", te: "trailers" } : {}),
    });
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.setTimeout(answerMs, () => reject(new Error(`no complete answer within ${answerMs} ms`)));
    stream.on("response", (received) => (headers = received));
    stream.on("trailers", (received) => (trailers = received));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => resolve({ headers, body: Buffer.concat(chunks), trailers }));
    stream.end(question.body);
  });
}
