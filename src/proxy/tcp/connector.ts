// Connections to one endpoint that are relayed as bytes. None is kept for another client: each lives and dies with its tunnel.
//
// Guarantees: whoever dials hears exactly one of `connected` and `connectFailed`, unless it cancels before; the latter within
// `connectMs`, the look-up of the name included; no more than `upstreamConnectionsMax` connections.
import { coarse } from "../../base/clock.ts";
import type { FailureReason } from "../../base/reasons.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import type { Pool, PoolCounts } from "../endpoints/pool.ts";
import type { UpstreamContext } from "../endpoints/registry.ts";
import type { Resolver } from "../endpoints/resolver.ts";
import { Wire, type WireOwner } from "../wire.ts";

/** Who wants a connection. */
export interface Dialler {
  /** Here it is; it reads nothing before its new owner resumes it. `TcpConnector.release` when it is closed. */
  connected(wire: Wire): void;
  /** None could be had, perhaps at once. `another`: another address of the endpoint may be tried. */
  connectFailed(reason: FailureReason, detail: string, another: boolean): void;
}

/** No protocol is offered by ALPN where it is not known. */
const NO_PROTOCOLS: readonly string[] = [];

/** One attempt to connect. */
export class Attempt implements WireOwner {
  readonly sinceMs = coarse.nowMs;
  readonly #startedMs = performance.now();
  readonly #connector: TcpConnector;
  readonly #secured: boolean;
  #dialler: Dialler | undefined;
  #wire: Wire | undefined;
  #address: string | undefined;

  constructor(connector: TcpConnector, dialler: Dialler, secured: boolean) {
    this.#secured = secured;
    this.#connector = connector;
    this.#dialler = dialler;
  }

  get over(): boolean {
    return this.#dialler === undefined;
  }

  connect(address: string): void {
    const { endpoint, context } = this.#connector;
    const { tls } = endpoint;
    this.#address = address;
    const wire = Wire.connect(
      address,
      endpoint.port,
      this,
      () => {
        const dialler = this.#end();
        if (dialler === undefined) return;
        context.telemetry.upstream.connect.observe(performance.now() - this.#startedMs);
        endpoint.noteSuccess();
        this.#connector.noteConnected();
        dialler.connected(wire);
      },
      tls === undefined || this.#secured ? undefined : (options) => tls.connect(options, NO_PROTOCOLS),
    );
    wire.pause();
    this.#wire = wire;
  }

  #end(): Dialler | undefined {
    const dialler = this.#dialler;
    if (dialler === undefined) return undefined;
    this.#dialler = undefined;
    this.#connector.forget(this);
    return dialler;
  }

  /** No connection is wanted any more. */
  cancel(): void {
    if (this.#end() !== undefined) this.#wire?.discard();
  }

  fail(detail: string): void {
    const dialler = this.#end();
    if (dialler === undefined) return;
    this.#wire?.discard();
    const { endpoint, context } = this.#connector;
    endpoint.noteUnreachable(this.#address, context.timeouts);
    dialler.connectFailed("upstream-unavailable", detail, true);
  }

  onClose(error: Error | undefined): void {
    this.fail(error?.message ?? "the connection was closed while connecting");
  }

  onBytes(): void {}
  onEnd(): void {}
  onBacklog(): void {}
  onDrain(): void {}
}

/** Makes connections to one endpoint. */
export class TcpConnector implements Pool {
  readonly endpoint: Endpoint;
  readonly context: UpstreamContext;
  live = false;
  readonly #resolver: Resolver;
  readonly #onLive: (connector: TcpConnector) => void;
  readonly #attempts = new Set<Attempt>();
  #active = 0;
  #closed = false;

  /** @param onLive called when `live` becomes true: `sweep` is due once per tick from now on. */
  constructor(
    endpoint: Endpoint,
    resolver: Resolver,
    context: UpstreamContext,
    onLive: (connector: TcpConnector) => void,
  ) {
    this.endpoint = endpoint;
    this.context = context;
    this.#resolver = resolver;
    this.#onLive = onLive;
  }

  /**
   * Begins to connect; undefined when the dialler has been told already.
   *
   * @param secured what is to be relayed is TLS already: never in another TLS connection.
   */
  dial(dialler: Dialler, secured: boolean): Attempt | undefined {
    const { upstreamConnectionsMax } = this.context.limits;
    if (this.#active + this.#attempts.size >= upstreamConnectionsMax || this.#closed) {
      const detail = `${this.endpoint.name} has limits.upstreamConnectionsMax (${upstreamConnectionsMax}) connections`;
      dialler.connectFailed("upstream-overloaded", detail, false);
      return undefined;
    }
    const attempt = new Attempt(this, dialler, secured);
    this.#attempts.add(attempt);
    this.context.telemetry.upstream.connectionsConnecting++;
    if (!this.live) {
      this.live = true;
      this.#onLive(this);
    }
    const address = this.#resolver.ready(this.endpoint) ? this.endpoint.nextAddress() : undefined;
    if (address === undefined) void this.#resolveAndConnect(attempt);
    else attempt.connect(address);
    return attempt;
  }

  async #resolveAndConnect(attempt: Attempt): Promise<void> {
    await this.#resolver.ensure(this.endpoint);
    if (attempt.over) return;
    const address = this.endpoint.nextAddress();
    if (address === undefined) attempt.fail(`the name ${this.endpoint.host} cannot be resolved`);
    else attempt.connect(address);
  }

  /** An attempt is over; called by it. */
  forget(attempt: Attempt): void {
    this.#attempts.delete(attempt);
    this.context.telemetry.upstream.connectionsConnecting--;
  }

  /** An attempt has become a connection; called by it. */
  noteConnected(): void {
    this.#active++;
    this.context.telemetry.upstream.connectionsActive++;
  }

  /** A connection is closed; called by who got it. */
  release(): void {
    this.#active--;
    this.context.telemetry.upstream.connectionsActive--;
  }

  sweep(nowMs: number): void {
    const { connectMs } = this.context.timeouts;
    for (const attempt of this.#attempts) {
      if (nowMs - attempt.sinceMs < connectMs) continue;
      attempt.fail(`connecting to ${this.endpoint.name} took longer than ${connectMs} ms`);
    }
    this.live = this.#active > 0 || this.#attempts.size > 0;
  }

  describe(): PoolCounts {
    return { idle: 0, connecting: this.#attempts.size, active: this.#active, waiting: 0 };
  }

  /** A tunnel stays where it is: nobody can move it. */
  retainAddresses(): void {}

  closeIdle(): void {}

  close(): void {
    this.#closed = true;
    for (const attempt of this.#attempts) attempt.cancel();
  }
}
