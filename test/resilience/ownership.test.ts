// The port for the app in real processes: tables from a file, one process and several, SIGTERM.
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openStream } from "../support/event-source.ts";
import { startBackend } from "../support/backend.ts";
import { accepts, request } from "../support/requests.ts";
import { SidelaneProcess } from "../support/sidelane-process.ts";

const withSandbox = "services: { checkout: {} }\nsandboxes: { pr-7: { services: { checkout: [127.0.0.1:9] } } }\n";
const without = "services: { checkout: {} }\n";

interface Started {
  readonly sidelane: SidelaneProcess;
  /** URL of the port for the app. */
  readonly url: string;
  /** Puts another table into place, whole. */
  readonly table: (content: string) => Promise<void>;
}

async function start(more: { workers?: number; sandbox?: string; target?: string }): Promise<Started> {
  const { target = "127.0.0.1:9", ...rest } = more;
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  const table = async (content: string): Promise<void> => {
    await writeFile(join(folder, "next.yaml"), content);
    await rename(join(folder, "next.yaml"), join(folder, "routes.yaml"));
  };
  await table(withSandbox);
  const config = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target }],
    table: { file: "routes.yaml" },
    admin: { address: "127.0.0.1:0" },
    ownership: { address: "127.0.0.1:0" },
    limits: { ownerBatchMax: 2, ownerStreamsMax: 3 },
    ...rest,
  };
  await writeFile(join(folder, "sidelane.yaml"), JSON.stringify(config));
  const sidelane = new SidelaneProcess(join(folder, "sidelane.yaml"));
  onTestFinished(async () => {
    sidelane.child.kill("SIGKILL");
    await sidelane.exit;
    await rm(folder, { recursive: true });
  });
  await sidelane.listening();
  const [address = ""] = await sidelane.logs(/"ownership":"[^"]+"/u);
  return { sidelane, table, url: `http://${address.slice('"ownership":"'.length, -1)}` };
}

async function owner(url: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}/owner?baggage=sidelane%3Dpr-7`);
  return (await answer.json()) as Record<string, unknown>;
}

describe.each([{ workers: 1 }, { workers: 2 }])("$workers process(es)", ({ workers }) => {
  test("answers and streams follow the file, there and back", async () => {
    const { url, table } = await start({ workers });
    const first = await owner(url);
    expect(first).toMatchObject({ handle: false, owner: "pr-7", table: { version: 1 } });
    const { digest } = first["table"] as { digest: string };
    const stream = await openStream(`${url}/owner/stream`);
    expect(await stream.next()).toMatchObject({
      event: "rule",
      data: { keys: ["pr-7"], table: { version: 1, digest } },
    });

    await table(without);
    expect(await stream.next()).toMatchObject({ event: "rule", data: { keys: [], table: { version: 2 } } });
    expect(await owner(url)).toMatchObject({ handle: true, reason: "unknown-key", table: { version: 2 } });

    await table(withSandbox);
    expect(await stream.next()).toMatchObject({
      event: "rule",
      data: { keys: ["pr-7"], table: { version: 3, digest } },
    });
    expect(await owner(url)).toMatchObject({ handle: false, table: { version: 3, digest } });
    const body = JSON.stringify({ messages: [{ baggage: "sidelane=pr-7" }, {}] });
    const batch = await fetch(`${url}/owner`, { method: "POST", body });
    expect(await batch.json()).toMatchObject({ handle: [false, true], owner: ["pr-7", "baseline"] });
    const tooMany = JSON.stringify({ messages: [{}, {}, {}] });
    expect((await fetch(`${url}/owner`, { method: "POST", body: tooMany })).status).toBe(413);
  });

  test("SIGTERM: streams end first, questions are answered while requests run, exit code 0", async () => {
    const backend = await startBackend();
    const { sidelane, url } = await start({ workers, target: backend.name });
    const stream = await openStream(`${url}/owner/stream`);
    await stream.next();
    const running = await sidelane.connect();
    running.send(request("POST", "/running", "body"));
    const { peer } = await backend.request();
    sidelane.child.kill("SIGTERM");
    expect(await stream.end()).toMatchObject({ how: "end", events: [{ event: "draining" }] });
    expect((await fetch(`${url}/owner/stream`)).status).toBe(503);
    expect(await owner(url)).toMatchObject({ handle: false, owner: "pr-7" });
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    expect((await running.message()).status).toBe(200);
    running.finish();
    expect(await sidelane.exit).toBe(0);
    expect(await accepts(Number(new URL(url).port))).toBe(false);
  });
});

test("a bad file changes nothing, and another file with the same rule only the version", async () => {
  const { sidelane, url, table } = await start({});
  const stream = await openStream(`${url}/owner/stream`);
  expect(await stream.next()).toMatchObject({ event: "rule", data: { table: { version: 1 } } });
  await table("services: [\n");
  await sidelane.logs(/table not loaded/u);
  expect(await owner(url)).toMatchObject({ owner: "pr-7", table: { version: 1 } });
  await table(`# The same.\n${withSandbox}`);
  expect(await stream.next()).toMatchObject({ event: "table", data: { version: 2 } });
});

test("beside a sandbox's copy: exactly what the baseline leaves", async () => {
  const [baseline, sandbox] = await Promise.all([start({}), start({ sandbox: "pr-7" })]);
  for (const baggage of ["sidelane=pr-7", "sidelane=pr-77", "a=b", "sidelane=pr-7,sidelane=pr-8"]) {
    const body = JSON.stringify({ messages: [{ baggage }] });
    const answers = await Promise.all(
      [baseline, sandbox].map(async ({ url }) => (await fetch(`${url}/owner`, { method: "POST", body })).json()),
    );
    const handling = (answers as { handle: boolean[] }[]).filter(({ handle }) => handle[0] === true);
    expect(handling).toHaveLength(1);
  }
  const stream = await openStream(`${sandbox.url}/owner/stream`);
  expect(await stream.next()).toMatchObject({
    event: "rule",
    data: { mode: "only", instance: "pr-7", keys: ["pr-7"] },
  });
  await sandbox.table(without);
  expect(await stream.next()).toMatchObject({ event: "rule", data: { mode: "only", keys: [] } });
});
