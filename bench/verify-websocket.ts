// Before a proxy is measured with WebSocket: the handshake is routed as any request, and what follows is passed on.

import { connect } from "node:net";
import { backendHeader } from "./load/requests.ts";
import { answerFrame, handshakeHead, questionFrame } from "./load/websocket-frames.ts";
import { eachRoutingCase, expectSame, markOf } from "./verify.ts";

const answerMs = 5_000;

/** @returns the bytes of one message that comes back. */
export async function verifyWebsocket(name: string, port: number, hasRule: boolean): Promise<number> {
  await eachRoutingCase(name, hasRule, async (what, baggage, goesTo) => {
    const { head, echo } = await chat(what, port, handshakeHead(baggage));
    expectSame(`${what}: status`, head.split(" ")[1], "101");
    const mark = new RegExp(`^${backendHeader}: *(\\S+)`, "im").exec(head)?.[1];
    expectSame(`${what}: went to`, mark, markOf(goesTo));
    expectSame(`${what}: the message came back`, echo.equals(answerFrame), true);
  });
  return answerFrame.length;
}

/** A handshake, then a message. */
async function chat(
  what: string,
  port: number,
  head: string,
): Promise<{ readonly head: string; readonly echo: Buffer }> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    let headEnd = -1;
    const socket = connect(port, "127.0.0.1");
    const fail = (problem: string): void => {
      socket.destroy();
      reject(new Error(`${what}: ${problem} after ${JSON.stringify(received.toString("latin1"))}`));
    };
    socket.setTimeout(answerMs, () => fail(`nothing for ${answerMs} ms`));
    socket.on("error", (error) => fail(error.message));
    socket.on("end", () => fail("the connection was closed"));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (headEnd === -1) {
        const end = received.indexOf("\r\n\r\n");
        if (end === -1) return;
        headEnd = end + 4;
        socket.write(questionFrame);
      }
      if (received.length < headEnd + answerFrame.length) return;
      socket.destroy();
      resolve({ head: received.toString("latin1", 0, headEnd), echo: received.subarray(headEnd) });
    });
    socket.write(head, "latin1");
  });
}
