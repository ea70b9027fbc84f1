// docs/api.md: every curl of its walk is sent, and answered with the status that stands behind it.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { startWorld } from "../../../test/support/api-world.ts";

const page = readFileSync(new URL("../../../docs/api.md", import.meta.url), "utf8");

test("the walk through the API is what happens", async () => {
  const block = /```sh\n([^]*?)```/u.exec(page)?.[1] ?? "";
  const commands = [...block.replaceAll("\\\n", " ").matchAll(/^curl (.*?) +# ([0-9]{3})$/gmu)];
  expect(commands.length).toBeGreaterThan(10);
  expect(commands).toHaveLength(block.match(/^curl /gmu)?.length ?? 0);
  const world = await startWorld();
  for (const [, line = "", status] of commands) {
    const words = [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/gu)].map(
      (match) => match[1] ?? match[2] ?? match[3] ?? "",
    );
    const after = (flag: string): string[] =>
      words.flatMap((word, index) => (word === flag ? [words[index + 1] ?? ""] : []));
    const [body] = after("-d");
    const headers = Object.fromEntries(after("-H").map((field) => field.split(": ") as [string, string]));
    const [method = body === undefined ? "GET" : "POST"] = after("-X");
    const path = words.find((word) => word.startsWith("$API"))?.slice("$API".length) ?? "";
    const got = await world.ask(method, path, { headers, ...(body === undefined ? {} : { body }) });
    expect(got.status, `${line}: ${got.body}`).toBe(Number(status));
  }
  await world.close();
});

test("the error that it shows is the one that comes", async () => {
  const world = await startWorld();
  await world.ask("POST", "/v1/services", { body: { name: "checkout" } });
  const got = await world.ask("POST", "/v1/sandboxes", { body: { name: "x", services: { chekout: ["h:1"] } } });
  const shown = /```json\n([^]*?)```/u.exec(page)?.[1] ?? "";
  expect(got.json).toEqual(JSON.parse(shown));
  await world.close();
});
