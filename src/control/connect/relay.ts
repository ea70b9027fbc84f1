// A TCP connection and an HTTP/2 stream that stand for each other; used at both ends. Guarantees:
//
// - Bytes as they come, in order; whoever reads slowly makes the other side's peer slow, through both (pipes, stream windows).
// - A FIN becomes END_STREAM and the other way round, each direction by itself.
// - A reset becomes RST_STREAM and the other way round, and so does everything that ends early: the loss of the tunnel, too. A
//   stream that was cut off must never look like one that ended.

import type { Http2Stream } from "node:http2";
import type { Socket } from "node:net";

/** RFC 9113 §7; of node:http2's constants, without loading it where it is not needed. */
const NO_ERROR = 0;

/** Joins them; `done` is called once, when both are closed. `socket` has `allowHalfOpen`, and may be paused. */
export function relay(socket: Socket, stream: Http2Stream, done: () => void): void {
  let open = 2;
  const closed = (): void => {
    open--;
    if (open === 0) done();
  };
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);

  socket.on("error", () => resetStream(stream));
  socket.once("close", () => {
    // After both FINs the stream may still have bytes to send.
    if (!socket.readableEnded || !socket.writableFinished) resetStream(stream);
    closed();
  });
  stream.on("error", () => {});
  const endSocket = (): void => {
    // node:http2 says "end" for a reset, too.
    if (!isCutOff(stream)) socket.end();
  };
  // It says so once even if nobody reads yet, as while the app is being connected to.
  if (stream.readableEnded) endSocket();
  else stream.once("end", endSocket);
  stream.once("close", () => {
    if (isCutOff(stream) || !stream.readableEnded || !stream.writableFinished) reset(socket);
    closed();
  });

  socket.pipe(stream);
  stream.pipe(socket, { end: false });
}

/** A peer of a silent connection that is gone without a word is noticed by the kernel some time after this. */
const KEEP_ALIVE_MS = 60_000;

function isCutOff(stream: Http2Stream): boolean {
  return stream.aborted || (stream.rstCode ?? NO_ERROR) !== NO_ERROR;
}

/**
 * Sends RST_STREAM. Not `close(code)`: that ends the writable side first, so that END_STREAM goes out before the reset, and the
 * other end passes it on as a FIN behind half a body.
 */
function resetStream(stream: Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error("the TCP connection was reset"));
}

/** Sends a TCP RST, also on a socket that has not connected yet. */
export function reset(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
