// A data plane that a control plane could ask: it probes, and knows which sandboxes are in use.
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadTable } from "../../src/config/load-table.ts";
import type { ProxyConfig } from "../../src/config/proxy-config.ts";
import type { Probe, ProbeResult } from "../../src/feed/messages.ts";
import { CompiledTable } from "../../src/routing/compiled-table.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import { Telemetry } from "../../src/telemetry/metrics.ts";
import { SandboxUses } from "../../src/proxy/endpoints/sandbox-uses.ts";
import { type RunningProxy, startProxy } from "../../src/proxy/start.ts";
import { probe } from "../../src/proxy/probe/probe.ts";

export interface ProbedProxy {
  readonly config: ProxyConfig;
  readonly cell: TableCell;
  readonly proxy: RunningProxy;
  readonly telemetry: Telemetry;
  readonly uses: SandboxUses;
  /** Port of a listener. */
  port(listener: string): number;
  /** What is left out is what a control plane asks when nothing is said about the service. */
  probe(question: Partial<Probe>, withinMs?: number): Promise<ProbeResult | { readonly error: string }>;
  publish(table: object): void;
}

/** Starts one; closed when the test is over. `config` as a user writes it, without the table. */
export async function startProbed(config: object, table: object): Promise<ProbedProxy> {
  const document = { service: "checkout", table: { file: "routes.yaml" }, ...config };
  const loaded = loadConfig(JSON.stringify(document), join(tmpdir(), "sidelane.yaml"), {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const cell = new TableCell();
  let version = 0;
  const publish = (next: object): void => {
    const read = loadTable(JSON.stringify(next), "routes.yaml");
    if (!read.ok) throw new Error(JSON.stringify(read.problems));
    cell.publish(new CompiledTable(read.image, ++version, read.digest));
  };
  publish(table);
  const telemetry = new Telemetry({ sandboxLabelsMax: 100, processMetrics: false, journalEntriesMax: 100 });
  const uses = new SandboxUses();
  const deps = { cell, telemetry, accessLog: undefined, log: silentLog, uses };
  const proxy = await startProxy(loaded.config, deps);
  onTestFinished(() => proxy.close());
  return {
    config: loaded.config,
    cell,
    proxy,
    telemetry,
    uses,
    port(listener) {
      const address = proxy.addresses.get(listener) ?? "";
      return Number(address.slice(address.lastIndexOf(":") + 1));
    },
    probe(question, withinMs = 5000) {
      const asked = { service: "checkout", port: "", key: "pr-7", protocol: "", path: "", ...question };
      return probe({ config: loaded.config, table: cell.current, addresses: proxy.addresses }, asked, withinMs);
    },
    publish,
  };
}
