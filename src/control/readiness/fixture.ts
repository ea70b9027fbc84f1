// Sidecars and replicas that do as a test says, around the real engine.

import type { AnswerBody, ProbeResult, QuestionBody } from "../../feed/messages.ts";
import type { WaitEvent } from "../api/backend.ts";
import type { SidecarInfo } from "../feed/sidecars.ts";
import { askAnywhere } from "../internal-routes.ts";
import type { ReplicaAnswer } from "../replicas.ts";
import type { Resource, ResourceId } from "../resource.ts";
import { ControlState } from "../state.ts";
import type { ReplicaRecord } from "../store/store.ts";
import { Prober } from "./prober.ts";
import { Readiness } from "./readiness.ts";
import { SidecarViews } from "./sidecar-views.ts";

/** A sidecar beside checkout that has everything and can be asked. */
export function sidecarInfo(more: Partial<SidecarInfo> = {}): SidecarInfo {
  const service = more.service ?? "checkout";
  return {
    instance: `${service}-1`,
    service,
    sandbox: "",
    host: `${service}-host`,
    version: "1.0.0",
    scope: { services: [], names: false },
    routes: true,
    probes: true,
    connected: true,
    since: new Date().toISOString(),
    appliedRevision: 1_000_000,
    wantedRevision: 0,
    error: "",
    problems: [],
    busy: [],
    replica: "r-1",
    ...more,
  };
}

/** What a sidecar says about a probe. */
export function probed(more: Partial<ProbeResult> = {}): AnswerBody {
  const probe = { answered: true, destination: "pr-7", endpoint: "10.0.0.7:8080", status: 200, detail: "it answered" };
  return { kind: "probe", probe: { ...probe, ...more } };
}

export class World {
  readonly state = new ControlState();
  readonly asked: { readonly instance: string; readonly question: QuestionBody }[] = [];
  answer: (instance: string) => AnswerBody | Promise<AnswerBody> = () => probed();
  /** Other replicas, and what each says about its sidecars. */
  readonly others = new Map<string, ReplicaAnswer>();
  traffic: Date | undefined = undefined;
  expiry: { readonly expiresAt: Date; readonly warned: boolean } | undefined = undefined;
  /** Why sidecars may be missing of which nobody knows. */
  returning: string | undefined = undefined;
  readonly views: SidecarViews;
  readonly prober: Prober;
  readonly readiness: Readiness;
  #infos: readonly SidecarInfo[] = [];
  #tell: (() => void)[] = [];

  constructor(probeMs = 1000) {
    const sidecars = {
      replica: "r-1",
      list: () => this.#infos,
      onChange: (listener: () => void) => {
        this.#tell.push(listener);
        return () => void (this.#tell = this.#tell.filter((one) => one !== listener));
      },
      ask: async (instance: string, question: QuestionBody) => {
        this.asked.push({ instance, question });
        return this.answer(instance);
      },
    };
    const replicas = {
      others: () => [...this.others.keys()].map(recordOf),
      askAll: async () => [...this.others.values()],
      onChange: () => () => {},
      ask: async ({ id }: ReplicaRecord, _path: string, body?: object): Promise<ReplicaAnswer> => {
        const { instance, question } = body as { instance: string; question: QuestionBody };
        this.asked.push({ instance: `${id}/${instance}`, question });
        return { replica: id, answer: await this.answer(instance) };
      },
    };
    this.views = new SidecarViews(sidecars, this.state, replicas);
    this.prober = new Prober(askAnywhere(sidecars, replicas), probeMs);
    this.readiness = new Readiness({
      state: this.state,
      views: this.views,
      prober: this.prober,
      replica: "r-1",
      returning: { why: () => this.returning },
      lives: (id) => id === "r-1" || this.others.has(id),
      expiry: () => this.expiry,
      lastTraffic: () => this.traffic,
    });
    this.state.reachable(true, "");
    this.state.reset({ revision: 1, resources: [] });
  }

  sidecars(...infos: readonly SidecarInfo[]): void {
    this.#infos = infos;
    for (const listener of this.#tell) listener();
  }

  put(...resources: readonly Resource[]): void {
    const revision = this.state.revision + 1;
    const puts = resources.map((one) => ({ ...one, meta: { ...one.meta, version: revision } }));
    this.state.changed({ revision, puts, deletes: [] });
  }

  remove(...deletes: readonly ResourceId[]): void {
    this.state.changed({ revision: this.state.revision + 1, puts: [], deletes });
  }

  /** All events of a wait. */
  async wait(name: string, what: "ready" | "deleted", withinMs = 5000): Promise<readonly WaitEvent[]> {
    const events: WaitEvent[] = [];
    for await (const event of this.readiness.wait(name, what, withinMs, new AbortController().signal))
      events.push(event);
    return events;
  }

  /** `type` -> `status reason: message`. */
  conditions(name: string): Readonly<Record<string, string>> {
    const { conditions = [] } = this.readiness.status(name) ?? {};
    return Object.fromEntries(
      conditions.map(({ type, status, reason, message }) => [type, `${status} ${reason}: ${message}`]),
    );
  }
}

function recordOf(id: string): ReplicaRecord {
  return { id, url: `http://${id}`, secret: "", startedAt: "" };
}
