// Writes a key into the baggage of a request, for the services behind (W3C Baggage §3.3: other members stay as they are, and
// the limits of §3.3.2 hold). Several fields become one on the way, since propagators differ in which of several they read.
import type { Amendment } from "../../protocol/context/amendment.ts";
import { BaggageSize, appendMember, measureBaggage, withoutMembers } from "../../protocol/context/baggage-edit.ts";
import type { RequestView, WatchList } from "../../protocol/context/request-view.ts";

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The member is in the amendment, or has no room. */
export type Written = "written" | "full";

/** Writes keys on behalf of one listener. */
export class KeyWriter {
  readonly #number: number;
  readonly #names: readonly Uint8Array[];
  readonly #size = new BaggageSize();

  /** @param name of the member. */
  constructor(name: Uint8Array, watch: WatchList) {
    this.#number = watch.numberOf("baggage");
    this.#names = [name];
  }

  /** @param member `name=key`, encoded, with its properties. */
  write(view: RequestView, amendment: Amendment, member: Uint8Array): Written {
    const first = view.indexOf(this.#number);
    if (first === -1) {
      amendment.addBaggage(member);
      return "written";
    }
    const size = this.#size;
    size.clear();
    // By index, without an older key of this name; undefined where there was none.
    const lefts: (Uint8Array | undefined)[] = [];
    for (let i = first; i !== -1; i = view.indexOf(this.#number, i + 1)) {
      const value = amendment.valueOf(view, i);
      const left = withoutMembers(value, 0, value.length, this.#names);
      lefts[i] = left;
      measureBaggage(left ?? value, 0, (left ?? value).length, size);
    }
    if (!size.hasRoom(member.length)) {
      this.remove(view, amendment);
      return "full";
    }
    // One field in the end: over gRPC some propagators read the first only, others the last.
    let whole = NO_BYTES;
    for (let i = first; i !== -1; i = view.indexOf(this.#number, i + 1)) {
      const value = lefts[i] ?? amendment.valueOf(view, i);
      whole = value.length === 0 ? whole : appendMember(whole, 0, whole.length, value);
      if (i !== first) amendment.replace(i, NO_BYTES);
    }
    amendment.replace(first, appendMember(whole, 0, whole.length, member));
    return "written";
  }

  /** Takes an older key out without a new one: to those behind, none is better than one that this request was not decided by. */
  remove(view: RequestView, amendment: Amendment): void {
    for (let i = view.indexOf(this.#number); i !== -1; i = view.indexOf(this.#number, i + 1)) {
      const value = amendment.valueOf(view, i);
      const left = withoutMembers(value, 0, value.length, this.#names);
      if (left !== undefined) amendment.replace(i, left);
    }
  }
}
