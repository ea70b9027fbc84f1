// The one place that touches what Node does not document. Two shortcuts, both worth it and both optional
// (docs/decisions/0006): an accepted socket is re-adopted so that it reads into our own buffer, which the public API
// offers for outgoing sockets only; and a write goes to the handle, where it is one system call without the stream
// machinery. `findNativeWrites` tries both on a real socket pair when the proxy starts; if anything is not as expected,
// the public way (`socket.write` and `data` events) is used instead, which is slower and otherwise the same.
import net from "node:net";

/** What Node's TCP handle offers beneath `net.Socket`, as far as we use it. */
export interface NativeHandle {
  /** Tries to write at once; what does not fit is queued and still points into `bytes`. Returns 0 or a negative errno. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  /** Bytes that are queued in the process: 0 means that the last write is in the kernel as a whole. */
  readonly writeQueueSize: number;
}

/** One write. May be reused as long as no write with it was queued. */
export interface WriteRequest {
  oncomplete?: (status: number) => void;
  /** Keeps the bytes alive while they are queued. */
  bytes?: Uint8Array;
}

/** Constructor of write requests, found at start. */
export type WriteRequestConstructor = new () => WriteRequest;

interface WithHandle {
  _handle: (NativeHandle & object) | null;
}

/** The handle beneath a socket, null when there is none (any more). */
export function handleOf(socket: net.Socket): NativeHandle | null {
  return (socket as unknown as WithHandle)._handle;
}

/**
 * Gives an accepted socket's handle to a new `net.Socket` that reads into a buffer of ours. The accepted one must come
 * from a server with `pauseOnConnect` and is an empty shell afterwards.
 */
export function adopt(accepted: net.Socket, onread: net.OnReadOpts): net.Socket {
  const shell = accepted as unknown as WithHandle;
  const handle = shell._handle;
  shell._handle = null;
  accepted.removeAllListeners();
  const socket = new net.Socket({ handle, allowHalfOpen: true, onread } as unknown as net.SocketConstructorOpts);
  return socket;
}

/** Longest that the self-check may take; a machine where a loopback echo takes longer has other worries. */
const CHECK_MS = 2000;

/**
 * Checks the shortcuts on a loopback connection: a re-adopted socket receives bytes into our buffer, and a direct write is
 * complete at once and arrives unchanged.
 *
 * @returns the constructor for write requests, or the reason why the public way has to do.
 */
export async function findNativeWrites(): Promise<WriteRequestConstructor | string> {
  const server = net.createServer({ pauseOnConnect: true, noDelay: true });
  const sockets: net.Socket[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return await Promise.race([
      tryOut(server, sockets),
      new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve("the self-check timed out"), CHECK_MS);
      }),
    ]);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

async function tryOut(server: net.Server, sockets: net.Socket[]): Promise<WriteRequestConstructor | string> {
  const buffer = new Uint8Array(64);
  const received = new Promise<string>((resolve, reject) => {
    server.once("connection", (accepted) => {
      try {
        let text = "";
        const socket = adopt(accepted, {
          buffer,
          callback: (length, bytes) => {
            if (bytes.buffer !== buffer.buffer) reject(new Error("an adopted socket reads into a foreign buffer"));
            text += String.fromCharCode(...bytes.subarray(0, length));
            if (text.length >= 10) resolve(text);
            return true;
          },
        });
        sockets.push(socket);
        socket.on("error", reject);
        socket.resume();
      } catch (error) {
        reject(error);
      }
    });
  });
  const { port } = server.address() as net.AddressInfo;
  const client = net.connect({ port, host: "127.0.0.1", noDelay: true });
  sockets.push(client);
  await new Promise<void>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("error", reject);
  });
  client.on("error", () => {});
  const handle = handleOf(client);
  if (handle === null || typeof handle.writeBuffer !== "function" || typeof handle.writeQueueSize !== "number") {
    return "the socket's handle has another shape";
  }
  // The constructor of write requests is not exported; an ordinary write shows one.
  let constructor: WriteRequestConstructor | undefined;
  const original = handle.writeBuffer.bind(handle);
  handle.writeBuffer = (request: WriteRequest, bytes: Uint8Array): number => {
    constructor = request.constructor as WriteRequestConstructor;
    return original(request, bytes);
  };
  client.write(Uint8Array.of(0x66, 0x69, 0x72, 0x73, 0x74));
  handle.writeBuffer = original;
  if (constructor === undefined) return "an ordinary write does not go through the handle";
  const status = handle.writeBuffer(new constructor(), Uint8Array.of(0x78, 0x6e, 0x65, 0x78, 0x74).subarray(0, 5));
  if (status !== 0 || handle.writeQueueSize !== 0) return "a direct write does not finish at once";
  const text = await received;
  return text === "firstxnext" ? constructor : "bytes arrive changed";
}
