/** Where the control plane's API is, and how we show who we are. */
export interface ControlAccess {
  /** Without a slash at the end. */
  readonly url: string;
  /** Another replica, for when this one cannot be connected to. */
  readonly next: ControlAccess | undefined;
  /** What said so, for people whose control plane is somewhere else: `--control`, `SIDELANE_CONTROL`, or nothing did. */
  readonly from: "--control" | "SIDELANE_CONTROL" | "default";
  /** On whose behalf everything is written: src/control/managed.ts. */
  readonly manager?: string | undefined;
  readonly token: string | undefined;
  /** PEM: authorities besides those of the system. */
  readonly ca: Buffer | undefined;
  /** PEM, for a control plane that asks for client certificates. */
  readonly certificate: Buffer | undefined;
  readonly certificateKey: Buffer | undefined;
}
