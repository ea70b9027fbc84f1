// What is changed in a request head before it goes on, the same for every HTTP version: by index into the `RequestView` it was
// read through. Everything that is not named here goes on as it came.
import type { RequestView } from "./request-view.ts";

const NO_BYTES = new Uint8Array(0);

/** One for all requests of a listener; `reset` before each. */
export class Amendment {
  /** There is something to change. */
  any = false;
  /** Per watched field: its new value, empty to leave it out, undefined to leave it as it is. */
  readonly values: (Uint8Array | undefined)[] = [];
  /** The value of a new `baggage` field; empty: there is none. */
  baggage: Uint8Array = NO_BYTES;
  /** The new request target. */
  target: Uint8Array | undefined = undefined;
  /** The new authority, port included. */
  authority: Uint8Array | undefined = undefined;

  /** Forgets the last request. */
  reset(): void {
    if (!this.any) return;
    this.any = false;
    this.values.length = 0;
    this.baggage = NO_BYTES;
    this.target = undefined;
    this.authority = undefined;
  }

  /** Gives a watched field another value, or leaves it out. */
  replace(index: number, value: Uint8Array): void {
    this.any = true;
    while (this.values.length <= index) this.values.push(undefined);
    this.values[index] = value;
  }

  /** The value that the field will have. */
  valueOf(view: RequestView, index: number): Uint8Array {
    const changed = this.values[index];
    if (changed !== undefined) return changed;
    return (view.sources[index] as Uint8Array).subarray(view.starts[index], view.ends[index]);
  }

  addBaggage(value: Uint8Array): void {
    this.any = true;
    this.baggage = value;
  }

  setTarget(target: Uint8Array): void {
    this.any = true;
    this.target = target;
  }

  setAuthority(authority: Uint8Array): void {
    this.any = true;
    this.authority = authority;
  }
}
