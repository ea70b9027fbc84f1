// Sends one request with a routing key to a service, through this sidecar's own listener, and tells who answered it: so it goes
// the way of a caller's request, and what is found out is what a caller would. Nothing here is on the request path.
//
// What is sent counts in the numbers and the access log like any request (its user agent is `sidelane-probe`); it does not count as
// use of the sandbox (probe-mark.ts).
import { setTimeout as delay } from "node:timers/promises";
import type { ListenerConfig, ProxyConfig } from "../../config/proxy-config.ts";
import type { Probe, ProbeResult } from "../../feed/messages.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";
import { NoAnswerError, type ProbeAnswer, hintsAtOtherVersion, refusalOf, resultOf } from "./answer.ts";
import { dial } from "./dial.ts";
import { type ProbeHead, headOf } from "./head.ts";
import { requestHttp1 } from "./http1-request.ts";
import { type Http2Question, getOf, healthCheckOf, requestHttp2 } from "./http2-request.ts";
import { Line } from "./line.ts";
import { type ProbeTarget, endpointsText, onlyEndpoint, targetOf, unanswered } from "./target.ts";

/** The sidecar that is asked. */
export interface ProbedSidecar {
  readonly config: ProxyConfig;
  readonly table: CompiledTable;
  /** Listener name -> `host:port` actually bound. */
  readonly addresses: ReadonlyMap<string, string>;
}

/** A way to ask, in one HTTP version. */
type Attempt = "http1" | "http2" | "grpc";

/** What `auto` tries, one after the other, while nothing answers in the version before. */
const AUTO: readonly Attempt[] = ["http1", "http2", "grpc"];

/** Sends a request with the key to the service; `error`: it cannot be asked here at all. */
export async function probe(
  { config, table, addresses }: ProbedSidecar,
  question: Probe,
  withinMs: number,
): Promise<ProbeResult | { readonly error: string }> {
  const target = targetOf(table, question);
  if ("answered" in target) return target;
  const deadline = AbortSignal.timeout(Math.max(1, Math.floor(withinMs)));
  if (question.protocol === "tcp") return connectTo(target, deadline, "");
  const listener = listenerFor(config, table, target);
  const address = listener === undefined ? undefined : addresses.get(listener.name);
  if (listener === undefined || address === undefined) {
    return {
      error: `it has no listener by which ${target.service}${question.port === "" ? "" : ` (port ${question.port})`} could be asked; a listener says with 'port' which one it is`,
    };
  }
  const attempts = attemptsFor(question.protocol, listener);
  if (attempts === undefined) {
    return connectTo(
      target,
      deadline,
      `the listener ${listener.name} is no HTTP listener, so a connection was all that was tried`,
    );
  }
  if (listener.tls?.clientCertificates === "required" && listener.tls.plaintext !== "allow") {
    return connectTo(
      target,
      deadline,
      `the listener ${listener.name} demands a client certificate, so the endpoint was only connected to`,
    );
  }
  const path = question.path === "" || question.protocol === "grpc" ? "/" : question.path;
  const head = headOf(table, config.tenancy.carriers, target, path);
  if ("error" in head) return head;
  const health = question.path === "/" ? "" : question.path;
  return new Asking(listener, address, head, target, withinMs, question.protocol === "grpc" ? health : "").ask(
    attempts,
    deadline,
  );
}

/**
 * The listener through which a caller's request for the service would come: the own service's inbound one, else an outbound one.
 * Never one where the world comes in, which would take the key for a stranger's.
 */
function listenerFor(
  { service, sandbox, listeners }: ProxyConfig,
  table: CompiledTable,
  target: ProbeTarget,
): ListenerConfig | undefined {
  // Beside a sandbox's copy everything that comes in is for that one.
  const own = service === target.service && (sandbox === undefined || sandbox === target.sandbox);
  const inbound = listeners.find(
    (one) =>
      own &&
      one.direction === "inbound" &&
      !one.edge &&
      table.servicePortByName(target.serviceId, one.port) === target.servicePort,
  );
  return inbound ?? listeners.find(({ direction, protocol }) => direction === "outbound" && protocol !== "tcp");
}

/** Undefined: nothing that carries a key can be sent there. */
function attemptsFor(protocol: string, { protocol: spoken }: ListenerConfig): readonly Attempt[] | undefined {
  if (spoken === "tcp") return undefined;
  const asked: readonly Attempt[] =
    protocol === "http1" || protocol === "http2" || protocol === "grpc" ? [protocol] : AUTO;
  if (spoken === "auto") return asked;
  const possible = asked.filter((attempt) => (attempt === "http1") === (spoken === "http1"));
  return possible.length === 0 ? [spoken] : possible;
}

/** What an attempt came to. */
interface Outcome {
  readonly result: ProbeResult;
  /** Another HTTP version may be answered. */
  readonly otherVersion: boolean;
}

/** Rejects when nobody answered. */
async function ifAnswered(attempt: Promise<Outcome>): Promise<Outcome> {
  const outcome = await attempt;
  if (!outcome.result.answered) throw new Error("nobody answered");
  return outcome;
}

/** One question and the attempts to have it answered. */
class Asking {
  readonly #listener: ListenerConfig;
  readonly #address: string;
  readonly #head: ProbeHead;
  readonly #target: ProbeTarget;
  readonly #withinMs: number;
  readonly #health: string;

  constructor(
    listener: ListenerConfig,
    address: string,
    head: ProbeHead,
    target: ProbeTarget,
    withinMs: number,
    health: string,
  ) {
    this.#listener = listener;
    this.#address = address;
    this.#head = head;
    this.#target = target;
    this.#withinMs = withinMs;
    this.#health = health;
  }

  /**
   * Resolves with the first answer, or with what the first attempt came to. An attempt begins when the one before shows that
   * another version may be spoken here; or after half of the time, because an app that waits for the first bytes of another
   * version says nothing at all, and neither does one that is slow: that one goes on.
   */
  async ask(attempts: readonly Attempt[], deadline: AbortSignal): Promise<ProbeResult> {
    const over = new AbortController();
    try {
      const { result } = await this.#from(attempts, AbortSignal.any([deadline, over.signal]), this.#withinMs / 2);
      return result;
    } finally {
      over.abort();
    }
  }

  async #from(attempts: readonly Attempt[], signal: AbortSignal, patienceMs: number): Promise<Outcome> {
    // There is one at least.
    const [attempt = "http1", ...others] = attempts;
    const own = this.#attempt(attempt, signal);
    if (others.length === 0) return own;
    const soon = await Promise.race([own, delay(patienceMs, undefined, { ref: false })]);
    if (soon !== undefined && (soon.result.answered || !soon.otherVersion)) return soon;
    const next = this.#from(others, signal, patienceMs / 2);
    return Promise.any([own, next].map(ifAnswered)).catch(() => own);
  }

  async #attempt(attempt: Attempt, signal: AbortSignal): Promise<Outcome> {
    try {
      const answer = await this.#send(attempt, signal);
      const refusal = refusalOf(answer);
      const otherVersion = refusal !== undefined && hintsAtOtherVersion(refusal);
      return { result: resultOf(answer, this.#target), otherVersion };
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      if (signal.aborted) return { result: this.#silent(), otherVersion: true };
      return {
        result: unanswered(`${error.message} (through the listener ${this.#listener.name})`),
        otherVersion: error.otherVersion,
      };
    }
  }

  async #send(attempt: Attempt, signal: AbortSignal): Promise<ProbeAnswer> {
    const { tls } = this.#listener;
    const secured = tls !== undefined && tls.plaintext !== "allow";
    const socket = await dial(
      this.#address,
      secured ? { protocol: attempt === "http1" ? "http/1.1" : "h2", name: hostOf(this.#head.authority) } : undefined,
      signal,
    );
    const line = new Line(socket, signal);
    try {
      if (attempt === "http1") return await requestHttp1(line, this.#head);
      const question: Http2Question = attempt === "grpc" ? healthCheckOf(this.#health) : getOf(this.#head);
      return await requestHttp2(line, this.#head, question, secured ? "https" : "http");
    } finally {
      line.finish();
    }
  }

  #silent(): ProbeResult {
    const which = endpointsText(this.#target.endpoints);
    return unanswered(
      `no answer within ${Math.round(this.#withinMs)} ms: ${which} lets a connection begin or hang and says nothing; look at what listens there`,
      { endpoint: onlyEndpoint(this.#target) },
    );
  }
}

function hostOf(authority: string): string {
  return authority.replace(/:\d+$/u, "");
}

/** Whether an endpoint of the sandbox takes connections, where no request can tell. */
async function connectTo(target: ProbeTarget, signal: AbortSignal, why: string): Promise<ProbeResult> {
  const problems: string[] = [];
  for (const endpoint of target.endpoints) {
    try {
      (await dial(endpoint, undefined, signal)).destroy();
      const detail = `${endpoint} took a connection${why === "" ? "" : `; ${why}`}`;
      return { answered: true, destination: target.sandbox, endpoint, status: 0, detail };
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      problems.push(error.message);
    }
  }
  const detail = `${problems.join("; ")}; check that the sandbox runs and listens there`;
  return unanswered(detail, { endpoint: onlyEndpoint(target) });
}
