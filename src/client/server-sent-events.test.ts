import fc from "fast-check";
import { expect, test } from "vitest";
import { readEvents } from "./server-sent-events.ts";
import type { ServerEvent } from "./server-sent-events.ts";

async function eventsOf(chunks: readonly Buffer[]): Promise<ServerEvent[]> {
  const stream = async function* (): AsyncGenerator<Buffer> {
    yield* chunks;
  };
  const events: ServerEvent[] = [];
  for await (const event of readEvents(stream())) events.push(event);
  return events;
}

const text =
  ': hello\n\nevent: progress\ndata: {"a":"ä"}\n\ndata: one\r\ndata:two\r\n\r\nevent: done\ndata: {}\n\nevent: cut\ndata: off';

test("events however the stream is cut", async () => {
  const bytes = Buffer.from(text);
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(bytes.length), { maxLength: 12 }), async (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
      expect(await eventsOf(chunks)).toEqual([
        { event: "progress", data: '{"a":"ä"}' },
        { event: "message", data: "one\ntwo" },
        { event: "done", data: "{}" },
      ]);
    }),
  );
});
