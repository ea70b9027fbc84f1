import { Buffer } from "node:buffer";
import { expect, test } from "vitest";
import { isSampled, isTraceparent, TRACE_ID, TRACE_ID_END } from "./traceparent.ts";

const ID = "4bf92f3577b34da6a3ce929d0e0e4736";

function read(value: string): string | undefined {
  const bytes = Buffer.from(`--${value}--`);
  if (!isTraceparent(bytes, 2, bytes.length - 2)) return undefined;
  return bytes.subarray(2 + TRACE_ID, 2 + TRACE_ID_END).toString();
}

test.each([
  ["version 00", `00-${ID}-00f067aa0ba902b7-01`],
  ["not sampled", `00-${ID}-00f067aa0ba902b7-00`],
  ["a higher version", `cc-${ID}-00f067aa0ba902b7-01`],
  ["a higher version with more", `cc-${ID}-00f067aa0ba902b7-01-what-comes`],
])("%s", (_, value) => {
  expect(read(value)).toBe(ID);
});

test.each([
  ["empty", ""],
  ["version ff", `ff-${ID}-00f067aa0ba902b7-01`],
  ["a version that is no hexadecimal", `0g-${ID}-00f067aa0ba902b7-01`],
  ["more behind version 00", `00-${ID}-00f067aa0ba902b7-01-x`],
  ["more without a hyphen", `cc-${ID}-00f067aa0ba902b7-01x`],
  ["upper case", `00-${ID.toUpperCase()}-00f067aa0ba902b7-01`],
  ["a trace id of zeros", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`],
  ["a parent id of zeros", `00-${ID}-${"0".repeat(16)}-01`],
  ["too short", `00-${ID}-00f067aa0ba902b7-0`],
  ["hyphens elsewhere", `00${ID}--00f067aa0ba902b7-01`],
  ["flags that are no hexadecimal", `00-${ID}-00f067aa0ba902b7-0x`],
  ["a quote in the id", `00-${ID.slice(0, 31)}"-00f067aa0ba902b7-01`],
])("nothing: %s", (_, value) => {
  expect(read(value)).toBeUndefined();
});

test.each([
  ["00", false],
  ["01", true],
  ["02", false],
  ["0a", false],
  ["0f", true],
  ["e9", true],
])("flags %s: sampled is %s", (flags, sampled) => {
  expect(isSampled(Buffer.from(`-00-${ID}-00f067aa0ba902b7-${flags}`), 1)).toBe(sampled);
});
