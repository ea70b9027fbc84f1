// The messages of schema/table-feed.proto as types; docs of the fields are there. Both ends use them: the control plane and
// the sidecar.

/** A port and its endpoints; `port` is "" for a plain list. */
export interface FeedPortEndpoints {
  readonly port: string;
  readonly endpoints: readonly string[];
}

export interface FeedService {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly ports: readonly { readonly name: string; readonly number: number }[];
  readonly baseline: readonly FeedPortEndpoints[];
}

export interface FeedSandbox {
  readonly name: string;
  readonly key: string;
  readonly strict: boolean;
  readonly services: readonly { readonly service: string; readonly endpoints: readonly FeedPortEndpoints[] }[];
}

export interface FeedGroup {
  readonly name: string;
  readonly key: string;
  readonly sandboxes: readonly string[];
}

export interface Scope {
  /** Empty: everything. */
  readonly services: readonly string[];
  readonly names: boolean;
}

export interface Hello {
  readonly instance: string;
  readonly service: string;
  readonly sandbox: string;
  readonly host: string;
  readonly version: string;
  readonly scope: Scope;
  readonly source: string;
  readonly revision: number;
  readonly routes: boolean;
  readonly probes: boolean;
}

export interface Applied {
  readonly revision: number;
  /** "" when the revision is in use. */
  readonly error: string;
  readonly problems: readonly string[];
}

export interface Busy {
  readonly sandbox: string;
  readonly exchanges: number;
}

export interface Activity {
  readonly used: readonly string[];
  readonly busy: readonly Busy[];
}

export interface Probe {
  readonly service: string;
  readonly port: string;
  readonly key: string;
  readonly protocol: string;
  readonly path: string;
}

export interface ProbeResult {
  readonly answered: boolean;
  readonly destination: string;
  readonly endpoint: string;
  readonly status: number;
  readonly detail: string;
}

export interface JournalQuestion {
  readonly trace: string;
  readonly key: string;
  readonly limit: number;
}

export type AnswerBody =
  | { readonly kind: "probe"; readonly probe: ProbeResult }
  /** JSON text. */
  | { readonly kind: "journal"; readonly journal: string }
  | { readonly kind: "error"; readonly error: string };

export type FromSidecar =
  | { readonly kind: "hello"; readonly hello: Hello }
  | { readonly kind: "applied"; readonly applied: Applied }
  | { readonly kind: "activity"; readonly activity: Activity }
  | { readonly kind: "answer"; readonly id: number; readonly answer: AnswerBody }
  | { readonly kind: "goodbye" }
  /** Of a later version, or empty: to be ignored. */
  | { readonly kind: "unknown" };

export interface Update {
  readonly source: string;
  readonly whole: boolean;
  readonly revision: number;
  readonly last: boolean;
  readonly services: readonly FeedService[];
  readonly sandboxes: readonly FeedSandbox[];
  readonly groups: readonly FeedGroup[];
  readonly removedServices: readonly string[];
  readonly removedSandboxes: readonly string[];
  readonly removedGroups: readonly string[];
}

export type QuestionBody =
  | { readonly kind: "probe"; readonly probe: Probe }
  | { readonly kind: "journal"; readonly journal: JournalQuestion };

export type FromControl =
  | { readonly kind: "update"; readonly update: Update }
  | { readonly kind: "question"; readonly id: number; readonly withinMs: number; readonly question: QuestionBody }
  | { readonly kind: "reconnect"; readonly afterMs: number }
  /** Of a later version, or empty: to be ignored. */
  | { readonly kind: "unknown" };

/** The gRPC method of the stream. */
export const FOLLOW_PATH = "/sidelane.feed.v1.TableFeed/Follow";
