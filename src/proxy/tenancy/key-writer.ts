// Writes a key into the baggage of a request, for the services behind (W3C Baggage §3.3: other members stay as they are, and
// the limits of §3.3.2 hold). Into the first field there is, since several propagators read no other.
import type { Amendment } from "../../protocol/context/amendment.ts";
import { BaggageSize, appendMember, measureBaggage, withoutMembers } from "../../protocol/context/baggage-edit.ts";
import type { RequestView, WatchList } from "../../protocol/context/request-view.ts";

/** The member is in the amendment, was there already, or has no room. */
export type Written = "written" | "there" | "full";

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
    // Indexes and values as they will be once an older key of this name is gone.
    const values: Uint8Array[] = [];
    for (let i = first; i !== -1; i = view.indexOf(this.#number, i + 1)) {
      const value = amendment.valueOf(view, i);
      const left = withoutMembers(value, 0, value.length, this.#names) ?? value;
      values[i] = left;
      measureBaggage(left, 0, left.length, size);
    }
    if (!size.hasRoom(member.length)) return "full";
    values.forEach((left, i) => {
      const value = i === first ? appendMember(left, 0, left.length, member) : left;
      amendment.replace(i, value);
    });
    return "written";
  }
}
