// A whole control plane and whole sidecars, in the test's process.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { prepareSidecar } from "../../src/cli/sidecar.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadControlConfig } from "../../src/config/load-control-config.ts";
import { type RunningControl, startControl } from "../../src/control/start-control.ts";

/** One event of a wait. */
export interface Told {
  readonly event: string;
  readonly data: { readonly reached?: boolean; readonly message?: string; readonly status: Status };
}

export interface Status {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sidelane-control-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** One replica. */
export class Control {
  readonly running: RunningControl;

  constructor(running: RunningControl) {
    this.running = running;
  }

  /** Ends with the test. @param store default: one of its own. */
  static async start(store?: string): Promise<Control> {
    const path = await folder();
    // Others are told it before it is bound.
    const port = await freePort();
    const document = {
      store: store ?? `file:${path}`,
      api: { address: `127.0.0.1:${port}` },
      advertise: `http://127.0.0.1:${port}`,
      feed: { address: "127.0.0.1:0" },
      auth: "none",
      timeouts: { drainMs: 0, probeMs: 1000 },
    };
    const loaded = loadControlConfig(JSON.stringify(document), join(path, "control.yaml"), {});
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const running = await startControl(loaded.config, silentLog, "0.0.0");
    onTestFinished(() => running.close());
    return new Control(running);
  }

  async send(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`http://${this.running.api}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** Events of a wait as they come. */
  async *wait(name: string, what: "ready" | "deleted", withinMs = 10_000): AsyncGenerator<Told> {
    const path = `/v1/sandboxes/${name}/wait?for=${what}&withinMs=${withinMs}`;
    const response = await fetch(`http://${this.running.api}${path}`);
    if (!response.ok || response.body === null) throw new Error(`${response.status} ${await response.text()}`);
    let text = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      text += piece;
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const event = /^event: *(.*)$/mu.exec(part)?.[1];
        const data = /^data: *(.*)$/mu.exec(part)?.[1];
        if (event !== undefined && data !== undefined) yield { event, data: JSON.parse(data) as Told["data"] };
      }
    }
  }

  async waited(name: string, what: "ready" | "deleted", withinMs?: number): Promise<Told | undefined> {
    let last: Told | undefined;
    for await (const one of this.wait(name, what, withinMs)) last = one;
    return last;
  }
}

/** An app; returns its `host:port`. */
export async function startApp(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The sidecar of checkout, whose app is `target`; returns the port of its inbound listener. */
export async function startSidecar(control: Control, target: string): Promise<number> {
  const path = await folder();
  const document = {
    service: "checkout",
    listeners: [
      { direction: "inbound", address: "127.0.0.1:0", target },
      { direction: "outbound", address: "127.0.0.1:0" },
    ],
    table: { control: control.running.feed, keep: join(path, "table.json") },
  };
  const loaded = loadConfig(JSON.stringify(document), join(path, "sidelane.yaml"), {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const sidecar = await prepareSidecar(loaded.config, silentLog);
  onTestFinished(() => sidecar.close());
  const addresses = await sidecar.open();
  return Number(addresses.get("inbound")?.split(":").at(-1));
}
