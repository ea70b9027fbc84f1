const EMPTY = new Uint8Array(0);

/** Most routing keys are names of pull requests or people; a longer one gets a buffer of its own. */
const SCRATCH_BYTES = 768;

/**
 * Where a value was found: bytes[start, end) of `bytes`, which is the input itself, or this object's scratch when the value
 * had to be percent-decoded. Made once per connection or listener and reused: finding allocates nothing.
 *
 * A member of baggage can carry properties: propertiesBytes[propertiesStart, propertiesEnd), always in the input and as they
 * stand there, without the first ';'. An empty range when there are none, and for everything that is not baggage.
 *
 * Valid until the next successful find into the same object, and no longer than the input's bytes stay as they are. A find
 * that returns false leaves it as it was.
 */
export class Found {
  bytes: Uint8Array = EMPTY;
  start = 0;
  end = 0;
  propertiesBytes: Uint8Array = EMPTY;
  propertiesStart = 0;
  propertiesEnd = 0;
  #scratch: Uint8Array | undefined;

  /** Sets the value, without properties. */
  set(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.propertiesBytes = EMPTY;
    this.propertiesStart = 0;
    this.propertiesEnd = 0;
  }

  /** Adds the properties to a value just set. */
  setProperties(bytes: Uint8Array, start: number, end: number): void {
    this.propertiesBytes = bytes;
    this.propertiesStart = start;
    this.propertiesEnd = end;
  }

  /** Finds what another has found; valid as long as that is. */
  setAll(other: Found): void {
    this.bytes = other.bytes;
    this.start = other.start;
    this.end = other.end;
    this.propertiesBytes = other.propertiesBytes;
    this.propertiesStart = other.propertiesStart;
    this.propertiesEnd = other.propertiesEnd;
  }

  /** Room for `length` bytes: the reused scratch, or for unusual lengths a fresh array, so that one huge value pins no memory. */
  room(length: number): Uint8Array {
    if (length > SCRATCH_BYTES) return new Uint8Array(length);
    this.#scratch ??= new Uint8Array(SCRATCH_BYTES);
    return this.#scratch;
  }
}
