// Requests that share a connection share nothing else: no key, no expectation, no cookie; however their bytes come.
import { describe, expect, test } from "vitest";
import { connectTo, get, post } from "../support/http2-sidecar.ts";
import type { Sidecar } from "../support/sidecar.ts";
import { type Arrived, http1, http2, startWorld, valuesOf } from "./world.ts";

const tenancy = {
  carriers: [
    { query: "sidelane", remember: "sb" },
    { cookie: "sb" },
    { header: "x-sandbox", propagate: true },
    { baggage: "sidelane" },
  ],
};
const COOKIE = "sb=pr-7; Path=/; HttpOnly; SameSite=Lax";
const GONE = "sb=; Path=/; Max-Age=0";

interface Step {
  readonly target?: string;
  readonly field?: readonly [name: string, value: string];
  readonly body?: string;
  /** Status, who answered, and the cookie that came with it. */
  readonly answer: string;
}

const steps: readonly Step[] = [
  { target: "/?sidelane=pr-7", answer: `200 pr-7 ${COOKIE}` },
  { answer: "200 app -" },
  { field: ["baggage", "sidelane=pr-99;require=checkout"], answer: "424 - -" },
  { field: ["x-sandbox", "pr-8"], body: "again", answer: "200 pr-8 -" },
  { target: "/?sidelane=", field: ["x-sandbox", "pr-8"], answer: `200 app ${GONE}` },
  { field: ["baggage", "a=1"], answer: "200 app -" },
  { field: ["baggage", "sidelane=pr-8"], answer: "200 pr-8 -" },
];
const baggages = ["sidelane=pr-7", undefined, "sidelane=pr-8", undefined, "a=1", "sidelane=pr-8"];

function textOf({ target = "/", field, body }: Step): string {
  const lines = ["Host: checkout", ...(field === undefined ? [] : [field.join(": ")])];
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  const head = lines.map((line) => `${line}\r\n`).join("");
  return `${body === undefined ? "GET" : "POST"} ${target} HTTP/1.1\r\n${head}\r\n${body ?? ""}`;
}

const baggageOf = ({ fields }: Arrived): string | undefined => valuesOf(fields, "baggage")[0];

describe("over HTTP/1.1", () => {
  async function answersTo(sidecar: Sidecar, send: (text: string, to: { send(text: string): void }) => Promise<void>) {
    const client = await sidecar.connect();
    await send(steps.map(textOf).join(""), client);
    const answers: string[] = [];
    for (let i = 0; i < steps.length; i++) {
      const answer = await client.message();
      answers.push(`${answer.status} ${answer.field("x-who") ?? "-"} ${answer.field("set-cookie") ?? "-"}`);
    }
    return answers;
  }

  test.each([
    ["all at once", Number.POSITIVE_INFINITY],
    ["byte by byte", 1],
    ["7 bytes at a time", 7],
  ])("%s", async (_, size) => {
    const world = await startWorld(http1, { tenancy });
    const answers = await answersTo(world.sidecar, async (text, client) => {
      for (let at = 0; at < text.length; at += size) {
        client.send(text.slice(at, at + size));
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    });
    expect(answers).toEqual(steps.map(({ answer }) => answer));
    expect(world.all.map(baggageOf)).toEqual(baggages);
  });
});

test("over HTTP/2, all at once and one after the other", async () => {
  const world = await startWorld(http2, { tenancy });
  const client = await connectTo(world.sidecar);
  const ask = ({ target, field, body }: Step) => {
    const fields = field === undefined ? [] : [field];
    const stream = client.request(body === undefined ? get(target, ...fields) : post(target, ...fields), {
      endStream: body === undefined,
    });
    if (body !== undefined) stream.data(body, { endStream: true });
    return stream.over().then(({ heads: [head] }) => {
      return `${head?.status} ${head?.get("x-who") ?? "-"} ${head?.get("set-cookie") ?? "-"}`;
    });
  };
  const wanted = steps.map(({ answer }) => answer);
  expect(await Promise.all(steps.map(ask))).toEqual(wanted);
  const before = world.all.length;
  const inTurn: string[] = [];
  for (const one of steps) inTurn.push(await ask(one));
  expect(inTurn).toEqual(wanted);
  expect(world.all.slice(before).map(baggageOf)).toEqual(baggages);
});
