// One machine that is connected, or may come back: its doors, its tunnel, and the connections that wait for it.

import type { Socket } from "node:net";
import type { Door } from "./door.ts";
import { reset } from "./relay.ts";
import type { Tunnel } from "./tunnel.ts";
import type { Target } from "./wire.ts";

/** What tells one session from another. */
export interface SessionIdentity {
  readonly id: string;
  readonly sandbox: string;
  readonly targets: readonly Target[];
  readonly by: string;
  readonly machine: string;
}

export interface SessionLimits {
  /** Connections of sidecars to one session, waiting ones included; more are reset. */
  readonly connectionsMax: number;
  /** How long a connection waits for a machine that has lost its connection. */
  readonly heldMs: number;
}

/** How connections of all sessions together are limited; true: one more may come. */
export interface Budget {
  take(): boolean;
  give(): void;
}

export class Session {
  readonly identity: SessionIdentity;
  /** By target. */
  readonly doors: readonly Door[];
  readonly #limits: SessionLimits;
  readonly #budget: Budget;
  readonly #held = new Set<{ readonly socket: Socket; readonly target: number; readonly timer: NodeJS.Timeout }>();
  #tunnel: Tunnel | undefined;
  #connections = 0;
  #served = 0;

  constructor(identity: SessionIdentity, doors: readonly Door[], limits: SessionLimits, budget: Budget) {
    this.identity = identity;
    this.doors = doors;
    this.#limits = limits;
    this.#budget = budget;
    for (const [target, door] of doors.entries()) this.standBehind(door, target);
  }

  get tunnel(): Tunnel | undefined {
    return this.#tunnel;
  }

  /** Connections of sidecars now, and ever. */
  get connections(): { readonly open: number; readonly served: number } {
    return { open: this.#connections, served: this.#served };
  }

  /** Takes the connections of a door for a target of its own. */
  standBehind(door: Door, target: number): void {
    door.onConnection = (socket) => this.#accept(socket, target);
  }

  /** Another tunnel takes over; the one before gets nothing new. Undefined: connections wait. */
  attach(tunnel: Tunnel | undefined): void {
    this.#tunnel = tunnel;
    if (tunnel === undefined) return;
    for (const held of this.#held) {
      clearTimeout(held.timer);
      this.#carry(tunnel, held.socket, held.target);
    }
    this.#held.clear();
  }

  /** Waiting connections are reset. */
  dropHeld(): void {
    for (const held of this.#held) {
      clearTimeout(held.timer);
      this.#drop(held.socket);
    }
    this.#held.clear();
  }

  #accept(socket: Socket, target: number): void {
    if (this.#connections >= this.#limits.connectionsMax || !this.#budget.take()) return reset(socket);
    this.#connections++;
    this.#served++;
    if (this.#tunnel !== undefined) return this.#carry(this.#tunnel, socket, target);
    const timer = setTimeout(() => {
      this.#held.delete(held);
      this.#drop(socket);
    }, this.#limits.heldMs);
    const held = { socket, target, timer };
    this.#held.add(held);
  }

  #carry(tunnel: Tunnel, socket: Socket, target: number): void {
    tunnel.carry(socket, target, () => this.#gone());
  }

  #drop(socket: Socket): void {
    reset(socket);
    this.#gone();
  }

  #gone(): void {
    this.#connections--;
    this.#budget.give();
  }
}
