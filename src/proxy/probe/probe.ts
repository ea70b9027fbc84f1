// Sends one request with a routing key to a service, through this sidecar's own listener, and tells who answered it: so it goes
// the way of a caller's request, and what is found out is what a caller would. Nothing here is on the request path.
//
// What is sent counts in the numbers and the access log like any request (its user agent is `sidelane-probe`); it does not count as
// use of the sandbox (probe-mark.ts).
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
    return { error: `the sidecar of ${config.service} has no listener by which ${target.service} could be asked` };
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

  async ask(attempts: readonly Attempt[], deadline: AbortSignal): Promise<ProbeResult> {
    let first: ProbeResult | undefined;
    for (const [index, attempt] of attempts.entries()) {
      const last = index === attempts.length - 1;
      // An app that waits for another version's first bytes may say nothing at all: some time is left for the next attempt.
      const signal = last ? deadline : AbortSignal.any([deadline, AbortSignal.timeout(Math.ceil(this.#withinMs / 2))]);
      const { result, otherVersion } = await this.#attempt(attempt, signal);
      if (result.answered || !otherVersion) return first !== undefined && !result.answered ? first : result;
      first ??= result;
      if (deadline.aborted) break;
    }
    return first ?? this.#silent();
  }

  async #attempt(attempt: Attempt, signal: AbortSignal): Promise<{ result: ProbeResult; otherVersion: boolean }> {
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
