// What the load and the echo server of the WebSocket bench agree on (RFC 6455).

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { backendHeader, requestHead, type Destination } from "./requests.ts";

/** A text message as a chat or a subscription has them: below 126 bytes, so that a frame's head has two octets. */
export const messageBytes = 100;
const message = Buffer.from("a message ".repeat(messageBytes / 10));

const FIN_TEXT = 0x81;
const MASKED = 0x80;
/** Random for each frame of a browser (§5.3); always the same here, because it costs every proxy nothing. */
const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** What the client sends. */
export const questionFrame: Buffer = Buffer.concat([
  Buffer.from([FIN_TEXT, MASKED | messageBytes]),
  mask,
  message.map((byte, i) => byte ^ (mask[i & 3] as number)),
]);

/** What it gets back. */
export const answerFrame: Buffer = Buffer.concat([Buffer.from([FIN_TEXT, messageBytes]), message]);

/** Octets of a masked frame before its payload. */
const maskedHeadBytes = 6;

/**
 * Turns one masked frame into the same frame without mask, as a server sends it.
 *
 * @throws Error for a frame that this bench does not send.
 */
export function echoFrame(bytes: Buffer, at: number, out: Buffer, outAt: number): number {
  if (bytes[at] !== FIN_TEXT || bytes[at + 1] !== (MASKED | messageBytes)) throw new Error("not a frame of the bench");
  out[outAt] = FIN_TEXT;
  out[outAt + 1] = messageBytes;
  for (let i = 0; i < messageBytes; i++) {
    out[outAt + 2 + i] = (bytes[at + maskedHeadBytes + i] as number) ^ (bytes[at + 2 + (i & 3)] as number);
  }
  return outAt + answerFrame.length;
}

/** A handshake with all the fields of an ordinary request (§4.1). */
export function handshakeHead(baggage: string | undefined): string {
  const upgrade = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  return requestHead(baggage).replace(/\r\n\r\n$/, `\r\n${upgrade.join("\r\n")}\r\n\r\n`);
}

/** The server's side of it (§4.2.2). @throws Error when the handshake has lost its key. */
export function handshakeAnswer(head: string, destination: Destination): string {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
  if (key === undefined) throw new Error(`a handshake without a key:\n${head}`);
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Connection: Upgrade",
    "Upgrade: websocket",
    `Sec-WebSocket-Accept: ${accept}`,
    `${backendHeader}: ${destination.padEnd(8, "-")}`,
    "\r\n",
  ].join("\r\n");
}
