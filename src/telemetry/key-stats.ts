// What becomes of routing keys on their way through. Plain fields: whoever does it adds to them.

/** Keys that Sidelane wrote into requests. */
export class KeysWritten {
  /** `tenancy.stamp`. */
  stamp = 0;
  /** A lost key that was put back. */
  restored = 0;
  // By the kind of carrier that the key came in.
  host = 0;
  query = 0;
  cookie = 0;
  baggage = 0;
  tracestate = 0;
  header = 0;
  /** Not written: baggage had no room within the limits that W3C sets. */
  full = 0;
}

/** Requests from which Sidelane took what carries a key: at the edge, where nobody vouches for it, and on the way out. */
export class KeysStripped {
  edge = 0;
  egress = 0;
}
