// The only way in which anything is written: a plan is made from what is known, and committed only if nothing was committed
// meanwhile; otherwise it is made anew from what is known then. So a plan may rely on everything that it read.

import { randomUUID } from "node:crypto";
import type { AuditEntry, GroupSpec, Kind, Meta, Resource, ResourceId, SandboxSpec, ServiceSpec } from "./resource.ts";
import type { ControlState } from "./state.ts";
import { CommitTooLargeError, StoreUnavailableError } from "./store/store.ts";
import type { Store } from "./store/store.ts";

/** A resource as a plan wants it. */
export type DraftResource =
  | { readonly kind: "service"; readonly name: string; readonly spec: ServiceSpec }
  | { readonly kind: "sandbox"; readonly name: string; readonly spec: SandboxSpec }
  | { readonly kind: "group"; readonly name: string; readonly spec: GroupSpec };

/** What is to be written. Nothing at all is a plan, too: then nothing is committed. */
export interface Plan {
  readonly puts: readonly DraftResource[];
  readonly deletes: readonly ResourceId[];
  /** What changes, for the audit log; one sentence. */
  readonly detail: (kind: Kind, name: string) => string;
}

/** Why nothing was written. */
export interface Refusal {
  readonly refused: "not-found" | "exists" | "changed" | "invalid" | "in-use" | "managed" | "busy" | "store-down";
  /** A sentence: what is wrong, where, what to do. */
  readonly message: string;
  /** One line each, where there are several. */
  readonly problems?: readonly string[];
}

/** What was written. */
export interface Written {
  /** Of the table that has it; the one before where there was nothing to write. */
  readonly revision: number;
  /** The puts with their meta, in the plan's order. */
  readonly resources: readonly Resource[];
}

/** Default of a sidecar's `limits.tableBytesMax`, with room for those that have it in a longer form: a larger table is refused by all of them. */
const TABLE_LENGTH_MAX = 48 * 1024 * 1024;
/** Attempts when others keep committing in between. */
const ATTEMPTS_MAX = 50;

export class Writer {
  readonly #state: ControlState;
  readonly #store: Store;
  readonly #now: () => Date;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #onCommit: (result: "done" | "again" | "refused" | "store-down") => void;

  constructor(
    state: ControlState,
    store: Store,
    onCommit: (result: "done" | "again" | "refused" | "store-down") => void = () => {},
    now: () => Date = () => new Date(),
  ) {
    this.#state = state;
    this.#store = store;
    this.#onCommit = onCommit;
    this.#now = now;
  }

  /** Makes a plan and commits it, as often as others come first. `plan` must have no effects. */
  write(
    actor: string,
    action: AuditEntry["action"],
    plan: (state: ControlState) => Plan | Refusal,
  ): Promise<Written | Refusal> {
    // Nobody waits for the deadlines of those before.
    if (this.#state.storeProblem !== "") return this.#write(actor, action, plan);
    // One after the other: of those that plan at one time all but one would have to plan again.
    const written = this.#turn.then(() => this.#write(actor, action, plan));
    this.#turn = written.catch(() => {});
    return written;
  }

  async #write(
    actor: string,
    action: AuditEntry["action"],
    plan: (state: ControlState) => Plan | Refusal,
  ): Promise<Written | Refusal> {
    const id = randomUUID();
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const planned = plan(this.#state);
      if ("refused" in planned) {
        this.#onCommit("refused");
        return planned;
      }
      const { puts, deletes, detail } = planned;
      const { revision } = this.#state;
      if (puts.length + deletes.length === 0) return { revision, resources: [] };
      const tooLarge = this.#tooLarge(puts);
      if (tooLarge !== undefined) {
        this.#onCommit("refused");
        return tooLarge;
      }
      const at = this.#now().toISOString();
      try {
        const result = await this.#store.commit({
          id: `${id}.${attempt}`,
          basedOn: revision,
          puts: puts.map((draft) => this.#withMeta(draft, actor, at)),
          deletes,
          audit: [...puts, ...deletes].map(({ kind, name }) => {
            const detailed = { at, actor, action, kind, name, detail: detail(kind, name) };
            return detailed;
          }),
        });
        if (result.done) {
          this.#onCommit("done");
          return { revision: result.revision, resources: result.puts };
        }
      } catch (error) {
        if (error instanceof CommitTooLargeError) {
          this.#onCommit("refused");
          return { refused: "invalid", message: error.message };
        }
        if (!(error instanceof StoreUnavailableError)) throw error;
        this.#onCommit("store-down");
        return { refused: "store-down", message: error.message };
      }
      this.#onCommit("again");
      await this.#newer(revision);
    }
    return {
      refused: "busy",
      message: `others have written ${ATTEMPTS_MAX} times while this was about to be written; try again`,
    };
  }

  /** A table that no sidecar takes would be the last one that anybody gets. */
  #tooLarge(puts: readonly DraftResource[]): Refusal | undefined {
    let length = this.#state.tableLength;
    let growth = 0;
    for (const { kind, name, spec } of puts) {
      const before = this.#state.find(kind, name)?.spec;
      growth += JSON.stringify(spec).length - (before === undefined ? 0 : JSON.stringify(before).length);
    }
    length += growth;
    if (growth <= 0 || length <= TABLE_LENGTH_MAX) return undefined;
    return {
      refused: "invalid",
      message: `the table would have ${length} bytes, and sidecars take ${TABLE_LENGTH_MAX} at most: delete what nobody needs, or write less`,
    };
  }

  #withMeta(draft: DraftResource, actor: string, at: string): Resource {
    const before = this.#state.find(draft.kind, draft.name)?.meta;
    const meta: Meta = {
      version: 0, // the store's business
      createdAt: before?.createdAt ?? at,
      createdBy: before?.createdBy ?? actor,
      updatedAt: at,
      updatedBy: actor,
    };
    return { ...draft, meta };
  }

  /** Resolves when the state is past `revision`; it may take a moment to hear of the commit that came first. */
  #newer(revision: number): Promise<void> {
    if (this.#state.revision !== revision) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        off();
        resolve();
      };
      const off = this.#state.onChange(done);
      const timer = setTimeout(done, 1000);
    });
  }
}
