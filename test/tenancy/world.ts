// The same question put to a sidecar in every HTTP version, through real sockets, and the same two things told of it: what came
// to whom, and what the caller was answered. Requests are raw, so that what arrives can be compared byte by byte.
import { describe } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import type { Head } from "../support/http2-hpack.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { connectTo } from "../support/http2-sidecar.ts";
import type { Message } from "../support/message.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/sidecar.ts";

export type Field = readonly [name: string, value: string];

/** A request. Names of fields may have capitals, which HTTP/2 does not know. */
export interface Ask {
  readonly listener?: string;
  readonly host?: string;
  readonly target?: string;
  readonly fields?: readonly Field[];
  /** HTTP/1.1 only: the request as it stands. */
  readonly raw?: string;
}

/** A request as an app got it. */
export interface Arrived {
  readonly who: string;
  readonly host: string;
  readonly target: string;
  /** In order, without `host`, `via` and what every call of gRPC has. */
  readonly fields: readonly Field[];
}

/** What the caller was told, by the app or by the sidecar. */
export interface Reply {
  readonly status: number;
  /** -1: none. */
  readonly grpcStatus: number;
  /** Why the sidecar answered itself; "": it did not. */
  readonly reason: string;
  /** What it said about that. */
  readonly detail: string;
  readonly fields: readonly Field[];
  /** Undefined: no app got the request. */
  readonly arrived: Arrived | undefined;
}

/** An app that keeps what it gets. */
interface App {
  readonly name: string;
}

/** One HTTP version, or what is spoken on top of it. */
export interface Version {
  readonly name: "HTTP/1.1" | "HTTP/2" | "gRPC";
  startApp(note: (arrived: Arrived) => void, who: string): Promise<App>;
  send(sidecar: Sidecar, ask: Ask): Promise<Omit<Reply, "arrived">>;
}

/** All values of a field, in order. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
}

/** The fields but for those of these names, in order. */
export function without(fields: readonly Field[], ...names: readonly string[]): readonly Field[] {
  return fields.filter(([name]) => !names.includes(name.toLowerCase()));
}

function startHttp1App(note: (arrived: Arrived) => void, who: string): Promise<App> {
  return startAnswering((request) => {
    note(arrivedOf(request, who));
    return ok(who, `X-Who: ${who}`);
  });
}

function arrivedOf({ start, lines }: Message, who: string): Arrived {
  const fields = lines.map((line): Field => {
    const colon = line.indexOf(":");
    return [
      line.slice(0, colon),
      line
        .slice(colon + 1)
        .replace(/^[ \t]*/, "")
        .replace(/[ \t]*$/, ""),
    ];
  });
  return {
    who,
    host: valuesOf(fields, "host").join("|"),
    target: start.split(" ")[1] ?? "",
    fields: without(fields, "host", "via"),
  };
}

async function sendHttp1(sidecar: Sidecar, ask: Ask): Promise<Omit<Reply, "arrived">> {
  const client = await sidecar.connect(ask.listener);
  const lines = [["Host", ask.host ?? "checkout"] as const, ...(ask.fields ?? [])];
  const head = `GET ${ask.target ?? "/"} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  client.send(ask.raw ?? head);
  const answer = await client.message();
  const { fields } = arrivedOf(answer, "");
  const own = answer.field("server") === "sidelane";
  const problem = (own ? JSON.parse(answer.body) : {}) as { readonly reason?: string; readonly detail?: string };
  return { status: answer.status, grpcStatus: -1, reason: problem.reason ?? "", detail: problem.detail ?? "", fields };
}

const ALWAYS = ["host", "via", "content-type", "te", ":method", ":scheme", ":authority", ":path"];

function http2Version(name: "HTTP/2" | "gRPC"): Version {
  const grpc = name === "gRPC";
  return {
    name,
    startApp: (note, who) =>
      startHttp2Answering(async (stream) => {
        const head = await stream.receivedHead();
        const { fields } = head;
        note({
          who,
          host: [...head.all(":authority"), ...head.all("host")].join("|"),
          target: head.get(":path") ?? "",
          fields: without(fields, ...ALWAYS),
        });
        await stream.complete();
        if (!grpc) {
          stream.respond(200, who, ["x-who", who]);
          return;
        }
        stream.head([
          [":status", "200"],
          ["content-type", "application/grpc"],
          ["x-who", who],
        ]);
        stream.data(Buffer.of(0, 0, 0, 0, 0));
        stream.head([["grpc-status", "0"]], { endStream: true });
      }),
    send: async (sidecar, { listener, host = "checkout", target = "/", fields = [] }) => {
      const client = await connectTo(sidecar, {}, listener);
      const asked = client.request(
        [
          [":method", grpc ? "POST" : "GET"],
          [":scheme", "http"],
          [":authority", host],
          [":path", target],
          ...(grpc
            ? ([
                ["content-type", "application/grpc"],
                ["te", "trailers"],
              ] as const)
            : []),
          ...fields.map(([field, value]) => [field.toLowerCase(), value] as const),
        ],
        { endStream: !grpc },
      );
      if (grpc) asked.data(Buffer.of(0, 0, 0, 0, 0), { endStream: true });
      await asked.complete();
      const replied = replyOf(asked.heads, asked.body, grpc);
      client.socket.destroy();
      return replied;
    },
  };
}

function replyOf(heads: readonly Head[], body: string, grpc: boolean): Omit<Reply, "arrived"> {
  const [head] = heads;
  const { status = 0, fields = [] } = head ?? {};
  const own = head?.get("server") === "sidelane";
  if (!grpc) {
    const problem = (own ? JSON.parse(body) : {}) as { readonly reason?: string; readonly detail?: string };
    return { status, grpcStatus: -1, reason: problem.reason ?? "", detail: problem.detail ?? "", fields };
  }
  const grpcStatus = Number(heads.at(-1)?.get("grpc-status") ?? -1);
  // Of our own answers: trailers only, in which the text begins with the reason.
  const text = own && heads.length === 1 ? decodeURIComponent(head?.get("grpc-message") ?? "") : "";
  const colon = text.indexOf(": ");
  return { status, grpcStatus, reason: text.slice(0, Math.max(0, colon)), detail: text.slice(colon + 2), fields };
}

/** For what a test does by version. */
export const http1: Version = { name: "HTTP/1.1", startApp: startHttp1App, send: sendHttp1 };
export const http2: Version = http2Version("HTTP/2");
const versions: readonly Version[] = [http1, http2, http2Version("gRPC")];

/** Defines the same tests for every version. */
export function describeVersions(name: string, define: (version: Version) => void): void {
  for (const version of versions) {
    describe(`${name} (${version.name})`, () => {
      define(version);
    });
  }
}

/** A sidecar with both listeners, the app beside it, and all others around. */
export interface World {
  readonly sidecar: Sidecar;
  /** Authorities of the apps, by who they are: app, baseline, pr-7, pr-8, elsewhere. */
  readonly names: Readonly<Record<string, string>>;
  /** Everything that came to any of them. */
  readonly all: readonly Arrived[];
  /** @param through another sidecar, from which requests come to this one. */
  ask(ask?: Ask, through?: Sidecar): Promise<Reply>;
}

/** What a test changes of the world. `table` is given where the apps are. */
export type WorldOptions = Omit<SidecarOptions, "table"> & {
  readonly inbound?: object;
  readonly outbound?: object;
  readonly table?: (names: Readonly<Record<string, string>>) => object;
};

const NAMES = ["app", "baseline", "pr-7", "pr-8", "elsewhere"] as const;

/** `pr-7` and `pr-8` change checkout; ledger is changed by nobody. */
function defaultTable(names: Readonly<Record<string, string>>): object {
  const at = (who: string): string[] => [names[who] ?? ""];
  return {
    services: {
      checkout: { hosts: ["checkout", "checkout.shop.svc"], baseline: at("baseline") },
      ledger: { baseline: at("baseline") },
    },
    sandboxes: {
      "pr-7": { services: { checkout: at("pr-7") } },
      "pr-8": { services: { checkout: at("pr-8") } },
    },
  };
}

/** Starts all of it; ended when the test is over. */
export async function startWorld(version: Version, options: WorldOptions = {}): Promise<World> {
  const { inbound, outbound, table = defaultTable, ...others } = options;
  const all: Arrived[] = [];
  const note = (one: Arrived): void => void all.push(one);
  const apps = await Promise.all(NAMES.map(async (who) => [who, (await version.startApp(note, who)).name] as const));
  const names = Object.fromEntries(apps);
  const sidecar = await startSidecar({
    listeners: [
      { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target: names["app"], ...inbound },
      { name: "outbound", direction: "outbound", address: "127.0.0.1:0", ...outbound },
    ],
    table: table(names),
    ...others,
  });
  return {
    sidecar,
    names,
    all,
    ask: async (ask = {}, through = sidecar) => {
      const before = all.length;
      const reply = await version.send(through, ask);
      return { ...reply, arrived: all[before] };
    },
  };
}
