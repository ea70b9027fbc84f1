/** What TLS reports. Whoever makes connections and reads certificates writes the fields; nothing here derives them. */
export class TlsStats {
  /** Handshakes with clients and with endpoints by outcome; `resumed` ones took no key exchange with certificates. */
  readonly handshakes = {
    downstream: { full: 0, resumed: 0, failed: 0 },
    upstream: { full: 0, resumed: 0, failed: 0 },
  };
  /** Changes of certificate, key and authority files by outcome. */
  readonly reloads = { applied: 0, rejected: 0 };
  /** What the certificate is for (`listener inbound`, `upstream ledger`) -> end of its validity, milliseconds since the epoch. */
  readonly notAfterMs = new Map<string, number>();
}
