import type { Log } from "../base/log.ts";
import type { ExitCode } from "./command.ts";

/** A proxy that runs: in this process, or in workers. */
export interface Running {
  /** `host:port` as bound: of each listener by name, of the admin server, and of the port for the app if there is one. */
  readonly listeners: Readonly<Record<string, string>>;
  readonly admin: string;
  readonly ownership: string | undefined;
  /** Readiness fails at once; resolves when running exchanges have finished or their time is up, and all is closed. */
  drain(): Promise<void>;
}

/**
 * Starts, tells a parent process over IPC what was bound, and runs until SIGTERM, SIGINT, the loss of that parent, or `stop`
 * (POST /drain). Then drains. A second signal ends the process at once.
 */
export async function runUntilSignal(
  start: (stop: (why: string) => void) => Promise<Running>,
  log: Log,
): Promise<ExitCode> {
  const ending = Promise.withResolvers<string>();
  let stopping = false;
  const stop = (why: string): void => {
    stopping = true;
    ending.resolve(why);
  };
  const onSignal = (signal: string): void => {
    if (stopping) {
      log.warn("second signal, ending at once", { signal });
      process.exit(1);
    }
    stop(signal);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  process.on("SIGHUP", () => log.info("SIGHUP ignored: the table is reloaded whenever its file changes"));
  process.on("disconnect", () => stop("the parent process is gone"));
  // It may have gone before this line ran; a process without a channel has no `send`.
  if (process.send !== undefined && !process.connected) stop("the parent process is gone");

  try {
    const running = await start(stop);
    const { listeners, admin, ownership } = running;
    const own = { admin, ...(ownership === undefined ? {} : { ownership }) };
    log.info("listening", { ...listeners, ...own });
    process.send?.({ kind: "listening", listeners, ...own });

    const why = await ending.promise;
    log.info("draining", { why });
    await running.drain();
    log.info("ended");
    return 0;
  } finally {
    // The channel to a parent would keep the process alive.
    if (process.connected) process.disconnect();
  }
}
