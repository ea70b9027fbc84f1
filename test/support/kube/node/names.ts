// The cluster's names: answers A questions for Services, headless ones and their pods' host names, over UDP. What it does not know
// does not exist; other kinds of records are empty.
import { type Socket, createSocket } from "node:dgram";
import { once } from "node:events";
import type { EndpointSlice, Service } from "./pod.ts";
import { endpointsOf, slicesOf } from "./service-rules.ts";

const domain = ".svc.cluster.local";
/** What fits into 512 bytes beside a long name. */
const answersMax = 14;

/** The addresses of a name; undefined: there is no such name. */
export function addressesOf(
  name: string,
  services: ReadonlyMap<string, Service>,
  slices: readonly EndpointSlice[],
): readonly string[] | undefined {
  if (!name.endsWith(domain)) return undefined;
  const labels = name.slice(0, -domain.length).split(".");
  const [service, namespace] = labels.slice(-2);
  const found = services.get(`${namespace}/${service}`);
  if (found === undefined || labels.length > 3) return undefined;
  const hostname = labels.length === 3 ? labels[0] : undefined;
  const { clusterIP } = found.spec;
  if (clusterIP !== undefined && clusterIP !== "None") return hostname === undefined ? [clusterIP] : undefined;
  const all = slicesOf(found, slices).flatMap((slice) => endpointsOf(slice));
  const addresses = all
    .filter((one) => hostname === undefined || one.hostname === hostname)
    .map(({ address }) => address);
  return hostname !== undefined && addresses.length === 0 ? undefined : [...new Set(addresses)];
}

export class Names {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async listen(address: string, lookup: (name: string) => readonly string[] | undefined): Promise<Names> {
    const socket = createSocket("udp4");
    socket.on("message", (question, { address: sender, port }) => {
      const answer = answerTo(question, lookup);
      if (answer !== undefined) socket.send(answer, port, sender);
    });
    socket.bind(53, address);
    await once(socket, "listening");
    socket.on("error", () => {});
    return new Names(socket);
  }

  close(): void {
    this.#socket.close();
  }
}

/** RFC 1035 §4.1, one question; undefined: it is none. */
function answerTo(question: Buffer, lookup: (name: string) => readonly string[] | undefined): Buffer | undefined {
  if (question.length < 17 || (question.readUInt8(2) & 0x80) !== 0) return undefined;
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = question[at];
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(question.toString("latin1", at, at + length));
    at += length;
  }
  if (at + 4 > question.length) return undefined;
  const kind = question.readUInt16BE(at);
  const asked = question.subarray(12, at + 4);
  const addresses = lookup(labels.join(".").toLowerCase());
  const given = kind === 1 ? (addresses ?? []).slice(0, answersMax) : [];
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  // An answer, with authority, recursion as asked; NXDOMAIN is 3.
  head.writeUInt16BE(0x8480 | (question.readUInt16BE(2) & 0x0100) | (addresses === undefined ? 3 : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(given.length, 6);
  const records = given.map((address) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...address.split(".").map(Number)]),
  );
  return Buffer.concat([head, asked, ...records]);
}
