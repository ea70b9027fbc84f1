// A data plane whose endpoints have names, and a DNS in the hands of the test.
import { onTestFinished } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { startProxy } from "../../src/proxy/start.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import { Telemetry } from "../../src/telemetry/metrics.ts";
import { Sidecar } from "./sidecar.ts";

/** Answers what it is told to. */
export class ScriptedDns {
  /** Look-ups so far, by name. */
  readonly asked: string[] = [];
  /** What a look-up resolves to, or what it fails with; a promise is waited for. */
  answer: readonly string[] | Error | Promise<readonly string[]> = [];

  readonly lookUp = async (host: string): Promise<readonly string[]> => {
    this.asked.push(host);
    const answer = await this.answer;
    if (answer instanceof Error) throw answer;
    return answer;
  };
}

/** Starts one with an inbound listener before `target`; closed when the test is over. */
export async function startNamedSidecar(dns: ScriptedDns, target: string, timeouts: object = {}): Promise<Sidecar> {
  const document = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target }],
    table: { file: "routes.yaml" },
    timeouts,
  };
  const loaded = loadConfig(JSON.stringify(document), "sidelane.yaml", {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const cell = new TableCell();
  const telemetry = new Telemetry({ sandboxLabelsMax: 100, processMetrics: false });
  const { lookUp } = dns;
  const proxy = await startProxy(loaded.config, { cell, telemetry, accessLog: undefined, log: silentLog, lookUp });
  const sidecar = new Sidecar(proxy, telemetry, cell, undefined, "");
  onTestFinished(() => sidecar.close());
  return sidecar;
}
