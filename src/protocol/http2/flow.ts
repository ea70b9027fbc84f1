// Flow control (RFC 9113 §5.2, §6.9) of what we receive. What we may send is one number, kept where it is spent.

/**
 * What the peer may send: our window of one stream or of the connection. Credit goes back as the reader takes bytes, in
 * steps of half a window, so that small frames do not cause a WINDOW_UPDATE each and a steady sender never stops.
 */
export class ReceiveWindow {
  /** Bytes that the peer may still send; below zero only after `move`. */
  available: number;
  /** Bytes that the peer may have on the way at most. */
  sizeBytes: number;
  /** Bytes taken by the reader for which no credit has been given yet. */
  owedBytes: number;

  constructor(bytes: number) {
    this.available = bytes;
    this.sizeBytes = bytes;
    this.owedBytes = 0;
  }

  /** A DATA payload of `bytes`, padding included, came in; false: more than allowed, FLOW_CONTROL_ERROR (RFC 9113 §6.9.1). */
  receive(bytes: number): boolean {
    if (bytes > this.available) return false;
    this.available -= bytes;
    return true;
  }

  /** The reader has taken `bytes`; returns the increment of a WINDOW_UPDATE that is due now, or 0. */
  consume(bytes: number): number {
    const owed = this.owedBytes + bytes;
    if (owed * 2 < this.sizeBytes) {
      this.owedBytes = owed;
      return 0;
    }
    this.owedBytes = 0;
    this.available += owed;
    return owed;
  }

  /** Gives at once what is owed; returns the increment of a WINDOW_UPDATE, or 0. */
  flush(): number {
    const owed = this.owedBytes;
    this.owedBytes = 0;
    this.available += owed;
    return owed;
  }

  /** Bytes that the peer has sent and for which it has had no credit, nor is it owed any: the reader has not taken them. */
  get outstandingBytes(): number {
    return this.sizeBytes - this.available - this.owedBytes;
  }

  /** Our SETTINGS_INITIAL_WINDOW_SIZE takes effect: the peer moves its window by the difference, below zero if need be (RFC 9113 §6.9.2). */
  move(delta: number): void {
    this.sizeBytes += delta;
    this.available += delta;
  }

  /** Makes the window larger; returns the increment to announce: the growth and what is owed, or 0 if it is large enough. */
  widen(sizeBytes: number): number {
    if (sizeBytes <= this.sizeBytes) return 0;
    this.owedBytes += sizeBytes - this.sizeBytes;
    this.sizeBytes = sizeBytes;
    return this.flush();
  }
}
