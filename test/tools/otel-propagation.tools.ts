// Services in Node, Python, Go and Java behind sidecars, each instrumented by the OpenTelemetry SDK of its language and by
// nothing else: the routing key has to come through all of them, in any order. Not part of `npm test`, because it needs Python,
// Go, a JDK and Maven; where these tests run they have to be there. docs/propagation.md tells platform teams what is expected here.
import http from "node:http";
import { text } from "node:stream/consumers";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { beforeAll, describe, expect, test } from "vitest";
import { type Fleet, type Hop, keyBeyondAscii, startFleet } from "./otel/fleet.ts";
import { type Language, languages } from "./otel/install.ts";

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet();
  return () => fleet.close();
}, 600_000);

type Ask = (chain: readonly Language[], baggage: readonly string[], client?: string) => Promise<readonly Hop[]>;

/** Sends these lines of baggage to the first of a chain; resolves with what each of them saw. */
const askHttp: Ask = async ([first = "node", ...rest], baggage, client = "") => {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const headers = baggage.length === 0 ? {} : { baggage: [...baggage] };
  const url = `http://${fleet.entrances[first].http}/${rest.join("/")}${client}`;
  http.get(url, { agent: false, headers }, resolve).on("error", reject);
  const answer = await promise;
  const body = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode}: ${body}`);
  return JSON.parse(body) as Hop[];
};

const askGrpc: Ask = async ([first = "node", ...rest], baggage) => {
  const channel = new Client(fleet.entrances[first].grpc, credentials.createInsecure());
  const metadata = new Metadata();
  for (const line of baggage) metadata.add("baggage", line);
  const raw = (message: Buffer): Buffer => message;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  channel.makeUnaryRequest("/hop.Hop/Call", raw, raw, Buffer.from(rest.join("/")), metadata, (error, reply) =>
    error === null ? resolve(reply ?? raw(Buffer.of())) : reject(error),
  );
  try {
    return JSON.parse(String(await promise)) as Hop[];
  } finally {
    channel.close();
  }
};

const protocols: readonly (readonly [name: string, ask: Ask])[] = [
  ["HTTP", askHttp],
  ["gRPC", askGrpc],
];

/** Every order of all four. */
function orders(rest: readonly Language[] = languages): readonly (readonly Language[])[] {
  if (rest.length === 0) return [[]];
  return rest.flatMap((first) => orders(rest.filter((one) => one !== first)).map((others) => [first, ...others]));
}

/** The chain as it should have been taken: baselines, and at the end this copy. */
function path(chain: readonly Language[], last: string): readonly string[] {
  return chain.map((language, index) => `${language} ${index === chain.length - 1 ? last : "baseline"}`);
}

function taken(hops: readonly Hop[]): readonly string[] {
  return hops.map(({ service, copy }) => `${service} ${copy}`);
}

/** The members that a hop saw, sorted: name, decoded value, and properties as they stand. */
function members(hop: Hop | undefined): readonly string[] {
  const list = (hop?.baggage ?? []).flatMap((line) => line.split(","));
  return list.map((member) => member.trim().replace(/^[^;]*/u, decodeURIComponent)).toSorted();
}

const others = ["user=Zo%C3%AB%20%E2%9C%93", "tenant=a%2Cb%3Bc%3Dd"];
const othersRead = ["tenant=a,b;c=d", "user=Zoë ✓"];
/** Python writes a space as '+', as forms do. */
const othersAfterPython = ["tenant=a,b;c=d", "user=Zoë+✓"];

describe.each(protocols)("%s", (_, ask) => {
  describe.each(orders().map((chain) => [chain.join(" > "), chain] as const))("%s", (_, chain) => {
    const last = chain.at(-1) ?? "node";
    const expected = chain.slice(0, -1).includes("python") ? othersAfterPython : othersRead;

    test("no key: the baseline, other members arrive", async () => {
      const hops = await ask(chain, [others.join(",")]);
      expect(taken(hops)).toEqual(path(chain, "baseline"));
      expect(members(hops.at(-1))).toEqual(expected);
    });

    test("a key among other members: the sandbox's copy of the last service", async () => {
      const hops = await ask(chain, [`${others[0]},sidelane=pr-${last},${others[1]}`]);
      expect(taken(hops)).toEqual(path(chain, `pr-${last}`));
      expect(members(hops.at(-1))).toEqual([`sidelane=pr-${last}`, ...expected]);
    });

    test("a key beyond ASCII", async () => {
      const hops = await ask(chain, [`sidelane=${encodeURIComponent(keyBeyondAscii(last))}`]);
      expect(taken(hops)).toEqual(path(chain, `pr-${last}`));
      expect(members(hops.at(-1))).toEqual([`sidelane=${keyBeyondAscii(last)}`]);
    });

    test("a key with properties", async () => {
      const hops = await ask(chain, [`sidelane=pr-${last};require=${last};note=x%20y`]);
      expect(taken(hops)).toEqual(path(chain, `pr-${last}`));
    });
  });
});

/** An SDK with the client that it instruments. */
type Sdk = Language | "undici";
const sdks: readonly Sdk[] = [...languages, "undici"];

/** What every SDK makes of these lines, but for those that make something else of them. Order does not matter here. */
interface Case {
  readonly what: string;
  readonly sent: readonly string[];
  readonly kept: readonly string[];
  readonly but?: Partial<Record<Sdk, readonly string[]>>;
}

/** `count` members of a few bytes, `m0` first. */
function short(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `m${index}=${index}`);
}

const x4000 = `x=${"x".repeat(4000)}`;
const y4000 = `y=${"y".repeat(4000)}`;
const x5000 = `x=${"x".repeat(5000)}`;
const z1000 = `z=${"z".repeat(1000)}`;

const cases: readonly Case[] = [
  {
    what: "several lines: one, with all of them",
    sent: ["a=1,b=2", "c=3", "d=4"],
    kept: ["a=1", "b=2", "c=3", "d=4"],
  },
  { what: "duplicates: the last one", sent: ["a=1,b=2,a=3", "b=4"], kept: ["a=3", "b=4"] },
  { what: "capital and small letters", sent: ["Side=Lane,side=lane"], kept: ["Side=Lane", "side=lane"] },
  { what: "white space around", sent: ["a = 1 ,\tb\t=\t2"], kept: ["a=1", "b=2"] },
  {
    what: "properties",
    sent: ["a=1;p;q=x+y;r=%C3%A4,b=2"],
    kept: ["a=1;p;q=x+y;r=%C3%A4", "b=2"],
    but: { python: ["a=1;p;q=x+y;r=ä", "b=2"] },
  },
  { what: "a plus sign", sent: ["a=x+y,b=x%2By"], kept: ["a=x+y", "b=x+y"] },
  { what: "a space", sent: ["a=x%20y"], kept: ["a=x y"], but: { python: ["a=x+y"] } },
  {
    what: "octets that are no UTF-8",
    sent: ["a=%E4,b=2"],
    kept: ["a=\u{FFFD}", "b=2"],
    but: { node: ["b=2"], undici: ["b=2"] },
  },
  {
    what: "UTF-8 that is not percent-encoded",
    // As Node sends it: each character is an octet.
    sent: [`a=${Buffer.from("ä").toString("latin1")},b=2`],
    kept: ["b=2"],
    but: { node: ["a=Ã¤", "b=2"], undici: ["a=Ã¤", "b=2"] },
  },
  {
    what: "a space as it is",
    sent: ["a=x y,b=2"],
    kept: ["b=2"],
    but: { node: ["a=x y", "b=2"], undici: ["a=x y", "b=2"] },
  },
  { what: "no value", sent: ["a=,b=2"], kept: ["a=", "b=2"], but: { node: ["b=2"], undici: ["b=2"] } },
  {
    what: "64 members",
    sent: [short(64).join(",")],
    kept: short(64).toSorted(),
  },
  {
    what: "65 members",
    sent: [short(65).join(",")],
    kept: short(65).toSorted(),
    but: { go: short(64).toSorted(), java: short(64).toSorted() },
  },
  {
    what: "181 members",
    sent: [short(181).join(",")],
    kept: short(180).toSorted(),
    but: { go: short(64).toSorted(), java: short(64).toSorted() },
  },
  {
    what: "a member of more than 4096 bytes",
    sent: [`a=1,${x5000},b=2`],
    kept: ["a=1", "b=2"],
    but: { go: ["a=1", "b=2", x5000], java: ["a=1", "b=2", x5000] },
  },
  {
    what: "more than 8192 bytes",
    sent: [`a=1,${x4000},${y4000},${z1000}`],
    kept: [],
    but: { node: ["a=1", x4000, y4000], undici: ["a=1", x4000, y4000] },
  },
];

describe("what an SDK makes of baggage", () => {
  test.each(sdks.flatMap((sdk) => cases.map((one) => [sdk, one.what, one] as const)))("%s: %s", async (sdk, _, one) => {
    const chain: readonly Language[] = sdk === "undici" ? ["node", "go"] : [sdk, sdk === "go" ? "node" : "go"];
    const [, behind] = await askHttp(chain, one.sent, sdk === "undici" ? "?undici" : "");
    expect(behind?.baggage.length).toBe((one.but?.[sdk] ?? one.kept).length === 0 ? 0 : 1);
    expect(members(behind)).toEqual(one.but?.[sdk] ?? one.kept);
  });

  test.each([
    ["node", ["a=1", "b=2", "c=3"]],
    ["java", ["a=1", "b=2", "c=3"]],
    // One of several, so whoever adds a member to metadata that has several entries may add it where nobody looks.
    ["go", ["a=1"]],
    ["python", ["c=3"]],
  ] as const)("%s: several entries of gRPC metadata", async (language, kept) => {
    const [, behind] = await askGrpc([language, language === "go" ? "node" : "go"], ["a=1", "b=2", "c=3"]);
    expect(members(behind)).toEqual(kept);
  });
});
