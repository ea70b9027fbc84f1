import { setImmediate as nextTurn } from "node:timers/promises";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { BASELINE, claimPort, ownershipRule, unknownService } from "../routing/ownership.ts";
import { tableText } from "./subscription.ts";
import type { State, Subject, Subscription } from "./subscription.ts";

/** The rule of one service for this instance, shared by all who read it. */
export class RuleSubject implements Subject {
  readonly event = "rule";
  readonly subscribers = new Set<Subscription>();
  state: State | undefined = undefined;
  readonly #service: string;
  readonly #instance: string;

  /** `instance`: `BASELINE` or the name of a sandbox. */
  constructor(service: string, instance: string) {
    this.#service = service;
    this.#instance = instance;
  }

  /** Makes the rule with a table, a slice per turn of the event loop, and tells the subscribers. */
  async make(table: CompiledTable): Promise<void> {
    const made = await this.#contentOf(table);
    const known = this.state?.content;
    // One buffer for equal contents: a rule may have megabytes.
    const content = known?.equals(made) === true ? known : made;
    this.state = { table: table.version, tableText: tableText(table), content };
    for (const subscriber of this.subscribers) subscriber.catchUp();
  }

  async #contentOf(table: CompiledTable): Promise<Buffer> {
    const baseline = this.#instance === BASELINE;
    const start = {
      mode: baseline ? "all-except" : "only",
      service: this.#service,
      instance: this.#instance,
      ...(claimPort(table, this.#service) === -1 ? { because: unknownService(this.#service) } : {}),
    };
    const parts = [Buffer.from(`${JSON.stringify(start).slice(1, -1)},"keys":[`)];
    let comma = "";
    for (const claims of ownershipRule(table, this.#service)) {
      if (parts.length > 1) await nextTurn();
      let text = "";
      for (const { key, owner } of claims) {
        if (!baseline && owner !== this.#instance) continue;
        text += comma + JSON.stringify(key);
        comma = ",";
      }
      parts.push(Buffer.from(text));
    }
    parts.push(Buffer.from("]"));
    return Buffer.concat(parts);
  }
}
