import { RequestView, WatchList } from "../protocol/context/request-view.ts";
import type { Carrier } from "../routing/carrier.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { NO_KEY } from "../routing/decide.ts";
import { headersOfCarriers, KeyFinder } from "../routing/key-finder.ts";

/** One header of a message. */
export type Header = readonly [name: string, value: string];

/** Larger contexts get memory of their own: W3C Baggage asks for 8192 bytes. */
const SCRATCH_BYTES = 16 * 1024;

/**
 * Finds the routing keys of messages with the carriers of the config, by the code that finds those of requests. A message has
 * no host and no target, so carriers of these kinds never yield one.
 */
export class MessageKeys {
  readonly #watch: WatchList;
  readonly #finder: KeyFinder;
  readonly #view = new RequestView();
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #used = 0;
  #target = NO_KEY;

  constructor(carriers: readonly Carrier[]) {
    this.#watch = new WatchList(headersOfCarriers(carriers));
    this.#finder = new KeyFinder(carriers, this.#watch, false);
  }

  /** Begins a message; then `add` its headers. */
  begin(): void {
    this.#view.count = 0;
    this.#used = 0;
  }

  /** Adds a header; several of one name are one list, in this order. */
  add(name: string, value: string): void {
    const number = this.#watch.numberOf(name.toLowerCase());
    if (number === -1) return;
    // UTF-8 takes at most three bytes for a unit of a string.
    const fits = this.#used + value.length * 3 <= SCRATCH_BYTES;
    const bytes = fits ? this.#scratch : Buffer.from(value);
    let start = fits ? this.#used : 0;
    let end = fits ? start + bytes.write(value, start) : bytes.length;
    if (fits) this.#used = end;
    // RFC 9110 §5.5: the space around a value is not part of it.
    while (start < end && isSpace(bytes[start])) start++;
    while (start < end && isSpace(bytes[end - 1])) end--;
    this.#view.add(number, bytes, start, end);
  }

  /** The target that the message's key selects, NO_KEY or UNKNOWN_KEY. */
  find(table: CompiledTable): number {
    this.#target = this.#finder.find(this.#view, table);
    return this.#target;
  }

  /** The key of the last `find`, as it is compared; undefined when there was none. */
  get key(): string | undefined {
    if (this.#target === NO_KEY) return undefined;
    const { bytes, start, end } = this.#finder.key;
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
  }

  /** All of it at once. */
  findIn(headers: readonly Header[], table: CompiledTable): number {
    this.begin();
    for (const [name, value] of headers) this.add(name, value);
    return this.find(table);
  }
}

function isSpace(octet: number | undefined): boolean {
  return octet === 0x20 || octet === 0x09;
}
