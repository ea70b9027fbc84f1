/** How many spans went where. The recorder adds to it. */
export class SpanStats {
  /** Taken by the collector. */
  exported = 0;
  /** Lost: the queue was full, the collector did not take them, the exporting process died or the sidecar ended. */
  dropped = 0;
}
