import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Child } from "./child.ts";
import { shareLink, writeSecret } from "./share-link.ts";
import { baselinePlans, configPath, sandboxPlans, scenePlans, sidecarConfig } from "./shop-plan.ts";
import type { Plan, Service } from "./shop-plan.ts";
import { writeTable } from "./shop-table.ts";
import type { ShopTable } from "./shop-table.ts";

/** A running instance: the sidecar, and the app beside it if there is always one. Addresses are `host:port`. */
export interface Instance {
  readonly plan: Plan;
  readonly app: Child | undefined;
  readonly sidecar: Child;
  /** By name: inbound, outbound, edge. */
  readonly listeners: Readonly<Record<string, string>>;
  readonly admin: string;
}

/** How long a table edit may take to reach every sidecar before the demo calls it lost. */
const APPLIED_MS = 30_000;

// All entry points are files beside this one, as sources (.ts) or built (.js).
const extension = extname(fileURLToPath(import.meta.url));
const entry = (path: string): string => fileURLToPath(new URL(`${path}${extension}`, import.meta.url));
const appEntry = entry("./instance");
const jobEntry = entry("./services/nightly");
const commandEntry = entry("../main");

/** The processes of the shop: every service's baseline, three sandboxes, and who takes part in scenes; with their sidecars. */
export class Shop {
  readonly directory: string;
  /** Rejects as soon as any process ends by itself. Never resolves. */
  readonly failure: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #instances: Instance[] = [];
  readonly #children = new Set<Child>();
  readonly #ending = new AbortController();

  constructor(directory: string) {
    this.directory = directory;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.#fail = reject;
    promise.catch(() => {}); // Whoever runs the demo races against it; until then it is not unhandled.
  }

  /** Starts everything at once and tells each app where the others are; rejects with what went wrong. */
  async start(scenesUrl: string): Promise<void> {
    writeSecret(this.directory);
    // Sidecars start as soon as their app has a port, so the first table knows no address; the file is edited when all have.
    const nowhere = "127.0.0.1:1";
    const called = { front: nowhere, checkout: nowhere, recommend: nowhere };
    writeTable(this.directory, { called, sandboxes: [], release42: [] });
    const plans = [...baselinePlans, ...sandboxPlans];
    this.#instances.push(...(await Promise.all(plans.map((plan) => this.#launch(plan)))));
    await Promise.all([
      this.edit(["pr-7", "pr-9"]),
      ...this.#instances.map((instance) => this.#configure(instance, { SCENES_URL: scenesUrl })),
    ]);
  }

  /** Starts who takes part in scenes only. */
  async startScenes(): Promise<void> {
    const instances = await Promise.all(scenePlans.map((plan) => this.#launch(plan)));
    this.#instances.push(...instances);
    await Promise.all(instances.map((instance) => this.#configure(instance, {})));
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
    const instance = this.#running(sandboxPlan(sandbox));
    const children = [instance.sidecar, ...(instance.app === undefined ? [] : [instance.app])];
    await Promise.all(children.map((child) => child.kill()));
    for (const child of children) this.#children.delete(child);
    this.#instances.splice(this.#instances.indexOf(instance), 1);
  }

  /** Starts the copy anew, on other ports; the table has to be edited afterwards. */
  async revive(sandbox: string): Promise<void> {
    const instance = await this.#launch(sandboxPlan(sandbox));
    this.#instances.push(instance);
    await this.#configure(instance, {});
  }

  /** One that is running. */
  find(service: string, instance: string): Instance {
    return this.#find((plan) => plan.service === service && plan.instance === instance);
  }

  /** Where the front's sidecar listens: `host:port`. */
  get entrance(): string {
    return this.#inbound("front");
  }

  /** Where it listens to the world: `host:port`. */
  get edge(): string {
    return this.find("front", "baseline").listeners["edge"] ?? "";
  }

  /** The link that opens the shop's page in a sandbox. */
  shareLink(key: string): string {
    return shareLink(this.edge, this.directory, key);
  }

  /** Admin address of the sidecar beside a baseline service: `host:port`. */
  admin(service: Service): string {
    return this.find(service, "baseline").admin;
  }

  /** Admin addresses of the sidecars that an order can pass. */
  get admins(): readonly string[] {
    return this.#instances.filter(({ plan }) => !scenePlans.includes(plan)).map(({ admin }) => admin);
  }

  /** Runs the nightly job beside one of its sidecars, as cron would: a process without a caller. Resolves with its report. */
  async nightly(instance: string): Promise<Readonly<Record<string, unknown>>> {
    const { listeners } = this.find("nightly", instance);
    const job = this.#spawn(`nightly (${instance})`, jobEntry, [this.directory], {
      HTTP_PROXY: `http://${listeners["outbound"]}`,
      NODE_USE_ENV_PROXY: "1",
    });
    const report = await job.message("report");
    await job.stop();
    this.#children.delete(job);
    return report;
  }

  /** Runs a command of Sidelane; resolves with what it prints. */
  async command(...argv: readonly string[]): Promise<string> {
    const { signal } = this.#ending;
    const { stdout } = await promisify(execFile)(process.execPath, [commandEntry, ...argv], {
      env: inherited(),
      signal,
    });
    return stdout;
  }

  /** Ends every process. */
  async stop(): Promise<void> {
    this.#ending.abort();
    await Promise.all([...this.#children].map((child) => child.stop()));
  }

  async #launch(plan: Plan): Promise<Instance> {
    const name = `${plan.service} (${plan.instance})`;
    const app =
      plan.env &&
      this.#spawn(name, appEntry, [this.directory], { SERVICE: plan.service, INSTANCE: plan.instance, ...plan.env });
    const port = (await app?.message("listening"))?.["port"];

    const config = configPath(this.directory, plan);
    writeFileSync(config, sidecarConfig(this.directory, plan, port === undefined ? undefined : Number(port)));
    const sidecar = this.#spawn(`the sidecar of ${name}`, commandEntry, ["proxy", "--config", config], {});
    const ready = await sidecar.message("listening");
    const listeners = ready["listeners"] as Readonly<Record<string, string>>;
    return { plan, app, sidecar, listeners, admin: String(ready["admin"]) };
  }

  #spawn(name: string, script: string, args: readonly string[], env: Readonly<Record<string, string>>): Child {
    if (this.#ending.signal.aborted) throw new Error("the demo is ending");
    const child = new Child(name, script, args, { ...inherited(), ...env });
    this.#children.add(child);
    child.unexpectedEnd().catch(this.#fail);
    return child;
  }

  async #configure({ app, listeners }: Instance, more: Readonly<Record<string, string>>): Promise<void> {
    if (app === undefined) return;
    const env: Record<string, string> = {
      CHECKOUT_URL: `http://${this.#inbound("checkout")}`,
      PRICING_ADDRESS: this.#inbound("pricing"),
      ...more,
    };
    if (listeners["outbound"] !== undefined) env["HTTP_PROXY"] = `http://${listeners["outbound"]}`;
    const configured = app.message("configured");
    app.send({ env });
    await configured;
  }

  #table(release42: readonly string[]): ShopTable {
    return {
      called: {
        front: this.#inbound("front"),
        checkout: this.#inbound("checkout"),
        recommend: this.#inbound("recommend"),
      },
      sandboxes: sandboxPlans.map((plan) => ({
        name: plan.instance,
        service: plan.service,
        endpoint: this.#running(plan).listeners["inbound"] ?? "",
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

  #inbound(service: Service): string {
    return this.find(service, "baseline").listeners["inbound"] ?? "";
  }

  #running(wanted: Plan): Instance {
    return this.#find((plan) => plan === wanted);
  }

  #find(wanted: (plan: Plan) => boolean): Instance {
    const found = this.#instances.find(({ plan }) => wanted(plan));
    if (found === undefined) throw new Error("this instance is not running");
    return found;
  }
}

function sandboxPlan(sandbox: string): Plan {
  const plan = sandboxPlans.find(({ instance }) => instance === sandbox);
  if (plan === undefined) throw new Error(`no such sandbox: ${sandbox}`);
  return plan;
}

/** The environment without the user's own SIDELANE_* and proxy settings, which are for other processes than these. */
function inherited(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^SIDELANE_|_proxy$/i.test(key)));
}
