import fc from "fast-check";
import { expect, test } from "vitest";
import { readJsonLines } from "./json-lines.ts";

async function read(chunks: readonly Buffer[]): Promise<readonly unknown[]> {
  const values: unknown[] = [];
  for await (const value of readJsonLines(stream(chunks))) values.push(value);
  return values;
}

async function* stream(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield await Promise.resolve(chunk);
}

test("values come out as they went in, however the stream is cut", async () => {
  const cuts = fc.array(fc.nat(400), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.dictionary(fc.string(), fc.string({ unit: "grapheme" }))),
      cuts,
      async (values, places) => {
        const whole = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
        const sorted = [0, ...places.map((at) => at % (whole.length + 1)).toSorted((a, b) => a - b), whole.length];
        const chunks = sorted.slice(1).map((end, i) => whole.subarray(sorted[i], end));
        expect(JSON.stringify(await read(chunks))).toBe(JSON.stringify(values));
      },
    ),
  );
});

test("what is cut off is no value, and what is no JSON is an error", async () => {
  expect(await read([Buffer.from('{"a":1}\n\n{"b":')])).toEqual([{ a: 1 }]);
  await expect(read([Buffer.from("<html>\n")])).rejects.toThrow("JSON");
});
