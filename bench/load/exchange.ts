// One request over a raw socket, to see what a proxy really answers before it is measured.

import { connect } from "node:net";

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** Head and body as they were on the wire. */
  readonly bytes: number;
}

const answerMs = 5_000;

/** Sends one request head and reads the answer, framed by Content-Length. @throws Error for anything else. */
export async function exchange(port: number, head: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(port, "127.0.0.1");
    const fail = (problem: string): void => {
      socket.destroy();
      reject(new Error(`${problem} after ${JSON.stringify(received)}`));
    };
    socket.setTimeout(answerMs, () => fail(`no complete answer within ${answerMs} ms`));
    socket.on("error", (error) => fail(error.message));
    socket.on("end", () => fail("the connection was closed"));
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      const end = received.indexOf("\r\n\r\n");
      if (end === -1) return;
      const answerHead = received.slice(0, end + 4);
      const length = /^content-length:\s*(\d+)/im.exec(answerHead)?.[1];
      if (length === undefined) return fail("an answer without Content-Length");
      if (received.length < answerHead.length + Number(length)) return;
      socket.destroy();
      resolve({
        status: Number(answerHead.split(" ")[1]),
        head: answerHead,
        body: received.slice(answerHead.length),
        bytes: received.length,
      });
    });
    socket.write(head, "latin1");
  });
}
