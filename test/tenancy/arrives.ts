// A request among other fields, and what has to arrive of it.
import { expect } from "vitest";
import { type Ask, type Field, type Version, type World, valuesOf, without } from "./world.ts";

/** A request, and who gets it with which baggage. */
export interface Case {
  readonly name: string;
  readonly carriers?: readonly object[];
  readonly ask: Ask;
  /** Who gets it; default: pr-7. */
  readonly who?: string;
  /** All fields of baggage that arrive; default: what was sent. */
  readonly baggage?: readonly string[];
}

const AROUND: readonly Field[] = [
  ["X-First", "1"],
  ["x-dUp", 'a, b;c="d"'],
];
const BEHIND: readonly Field[] = [
  ["X-Dup", "second"],
  ["Accept", "*/*"],
  ["X-Bytes", "caf\u00e9 \u00ff"],
];

/** The fields as they stand in this version. */
const inVersion = ({ name }: Version, fields: readonly Field[]): readonly Field[] =>
  name === "HTTP/1.1" ? fields : fields.map(([field, value]) => [field.toLowerCase(), value]);

/** Sends the request among other fields and looks at what comes of it. */
export async function expectArrives(
  version: Version,
  world: World,
  { ask, who = "pr-7", baggage }: Case,
): Promise<void> {
  const own = ask.fields ?? [];
  const fields = [...AROUND, ...own, ...BEHIND];
  const { arrived, status } = await world.ask({ ...ask, fields });
  expect({ status, who: arrived?.who }).toEqual({ status: 200, who });
  expect(valuesOf(arrived?.fields ?? [], "baggage")).toEqual(baggage ?? valuesOf(own, "baggage"));
  expect(without(arrived?.fields ?? [], "baggage")).toEqual(without(inVersion(version, fields), "baggage"));
  expect(arrived?.target).toBe(ask.target ?? "/");
  expect(arrived?.host).toBe(ask.host ?? "checkout");
}

/** A table whose keys are not as plain as others. */
export const strangeKeys = (names: Readonly<Record<string, string>>): object => {
  const sandbox = (who: string, key: string): object => ({ key, services: { checkout: [names[who] ?? ""] } });
  return {
    services: { checkout: { hosts: ["checkout", "pr-7--known"] } },
    sandboxes: {
      "pr-7": sandbox("pr-7", "pr-7"),
      "pr-8": sandbox("pr-8", "pr-8"),
      two: sandbox("pr-8", "two words"),
      sum: sandbox("pr-8", "1+1"),
      size: sandbox("pr-8", "größe,1"),
      level1: sandbox("pr-8", "dev"),
      level2: sandbox("pr-7", "dev.proj"),
    },
  };
};
