import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Child } from "./child.ts";
import { readOrder } from "./order.ts";
import type { OrderResult } from "./order.ts";
import { shareLink, writeSecret } from "./share-link.ts";
import { baselinePlans, configPath, sandboxPlans, scenePlans, sidecarConfig } from "./shop-plan.ts";
import type { Plan, Service } from "./shop-plan.ts";
import { tablePath, writeTable } from "./shop-table.ts";
import type { ShopTable } from "./shop-table.ts";

/** A running instance: the app and the sidecar beside it. Addresses are `host:port`. */
interface Instance {
  readonly plan: Plan;
  readonly app: Child;
  readonly sidecar: Child;
  readonly inbound: string;
  /** "" where the sidecar has no outbound listener. */
  readonly outbound: string;
  readonly admin: string;
}

/** How long a table edit may take to reach every sidecar before the demo calls it lost. */
const APPLIED_MS = 30_000;

// Both entry points are files beside this one, as sources (.ts) or built (.js).
const extension = extname(fileURLToPath(import.meta.url));
const appEntry = fileURLToPath(new URL(`./instance${extension}`, import.meta.url));
const sidecarEntry = fileURLToPath(new URL(`../main${extension}`, import.meta.url));

/** The processes of the shop: every service's baseline and three sandboxes, each app with a sidecar of its own. */
export class Shop {
  readonly directory: string;
  /** Rejects as soon as any process ends by itself. Never resolves. */
  readonly failure: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #instances: Instance[] = [];
  readonly #children = new Set<Child>();
  #stopping = false;

  constructor(directory: string) {
    this.directory = directory;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.#fail = reject;
    promise.catch(() => {}); // Whoever runs the demo races against it; until then it is not unhandled.
  }

  /** Starts everything at once and tells each app where the others are; rejects with what went wrong. */
  async start(): Promise<void> {
    // Sidecars start as soon as their app has a port, so the first table knows no address; the file is edited when all have.
    writeTable(this.directory, { recommend: "127.0.0.1:1", sandboxes: [], release42: [] });
    this.#instances.push(...(await Promise.all([...baselinePlans, ...sandboxPlans].map((plan) => this.#launch(plan)))));
    await Promise.all([this.edit(["pr-7", "pr-9"]), ...this.#instances.map((instance) => this.#configure(instance))]);
  }

  /** Writes the table with these members of `release-42`; resolves with the milliseconds until every sidecar has it. */
  async edit(release42: readonly string[]): Promise<number> {
    const digest = writeTable(this.directory, this.#table(release42));
    const startMs = performance.now();
    await Promise.all(this.#instances.map((instance) => this.#applied(instance, digest)));
    return performance.now() - startMs;
  }

  /** Kills a sandbox's copy, app and sidecar, the way a machine dies. */
  async crash(sandbox: string): Promise<void> {
    const instance = this.#find((plan) => plan.instance === sandbox);
    await Promise.all([instance.app.kill(), instance.sidecar.kill()]);
    this.#children.delete(instance.app);
    this.#children.delete(instance.sidecar);
    this.#instances.splice(this.#instances.indexOf(instance), 1);
  }

  /** Starts the copy anew, on other ports; the table has to be edited afterwards. */
  async revive(sandbox: string): Promise<void> {
    const plan = sandboxPlans.find(({ instance }) => instance === sandbox);
    if (plan === undefined) throw new Error(`no such sandbox: ${sandbox}`);
    const instance = await this.#launch(plan);
    this.#instances.push(instance);
    await this.#configure(instance);
  }

  /** Where the front's sidecar listens: `host:port`. */
  get entrance(): string {
    return this.#baseline("front").inbound;
  }

  /** Admin address of the sidecar beside a baseline service: `host:port`. */
  admin(service: Service): string {
    return this.#baseline(service).admin;
  }

  /** Ends every process. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#children].map((child) => child.stop()));
  }

  async #launch(plan: Plan): Promise<Instance> {
    const name = `${plan.service} (${plan.instance})`;
    const app = this.#spawn(name, appEntry, [this.directory], {
      SERVICE: plan.service,
      INSTANCE: plan.instance,
      ...plan.env,
    });
    const { port } = await app.message("listening");

    const config = join(this.directory, `${plan.service}.${plan.instance}.yaml`);
    writeFileSync(config, this.#sidecarConfig(plan, Number(port)));
    const sidecar = this.#spawn(`the sidecar of ${name}`, sidecarEntry, ["proxy", "--config", config], {});
    const ready = await sidecar.message("listening");
    const listeners = ready["listeners"] as Readonly<Record<string, string>>;
    return {
      plan,
      app,
      sidecar,
      inbound: listeners["inbound"] ?? "",
      outbound: listeners["outbound"] ?? "",
      admin: String(ready["admin"]),
    };
  }

  #spawn(name: string, script: string, args: readonly string[], env: Readonly<Record<string, string>>): Child {
    if (this.#stopping) throw new Error("the demo is ending");
    // The user's own SIDELANE_* and proxy settings are for other processes than these.
    const inherited = Object.entries(process.env).filter(([key]) => !/^SIDELANE_|_proxy$/i.test(key));
    const child = new Child(name, script, args, { ...Object.fromEntries(inherited), ...env });
    this.#children.add(child);
    child.unexpectedEnd().catch(this.#fail);
    return child;
  }

  #sidecarConfig({ service, instance }: Plan, appPort: number): string {
    const lines = [`service: ${service}`];
    if (instance !== "baseline") lines.push(`sandbox: ${instance}`);
    lines.push(
      "listeners:",
      `  - { name: inbound, direction: inbound, address: 127.0.0.1:0, target: 127.0.0.1:${appPort} }`,
    );
    if (service === "front") lines.push("  - { name: outbound, direction: outbound, address: 127.0.0.1:0 }");
    lines.push(
      `table: { file: ${JSON.stringify(tablePath(this.directory))} }`,
      "admin: { address: 127.0.0.1:0 }",
      "timeouts: { drainMs: 1000 }",
    );
    return `${lines.join("\n")}\n`;
  }

  async #configure(instance: Instance): Promise<void> {
    const env: Record<string, string> = {
      CHECKOUT_URL: `http://${this.#baseline("checkout").inbound}`,
      PRICING_ADDRESS: this.#baseline("pricing").inbound,
    };
    if (instance.outbound !== "") env["HTTP_PROXY"] = `http://${instance.outbound}`;
    const configured = instance.app.message("configured");
    instance.app.send({ env });
    await configured;
  }

  #table(release42: readonly string[]): ShopTable {
    return {
      recommend: this.#baseline("recommend").inbound,
      sandboxes: sandboxPlans.map((plan) => ({
        name: plan.instance,
        service: plan.service,
        endpoint: this.#find((other) => other === plan).inbound,
      })),
      release42,
    };
  }

  async #applied(instance: Instance, digest: string): Promise<void> {
    const deadlineMs = performance.now() + APPLIED_MS;
    for (;;) {
      const answer = await fetch(`http://${instance.admin}/table`);
      const table = (await answer.json()) as { readonly digest?: string };
      if (table.digest === digest) return;
      if (performance.now() > deadlineMs) {
        throw new Error(`${instance.sidecar.name} did not take the edited table over: ${JSON.stringify(table)}`);
      }
      await sleep(5);
    }
  }

  #baseline(service: Service): Instance {
    return this.#find((plan) => plan.service === service && plan.instance === "baseline");
  }

  #find(wanted: (plan: Plan) => boolean): Instance {
    const found = this.#instances.find(({ plan }) => wanted(plan));
    if (found === undefined) throw new Error("this instance is not running");
    return found;
  }
}
