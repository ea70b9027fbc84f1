import type { Log } from "../base/log.ts";
import type { ExitCode } from "./command.ts";

/** A proxy, in this process or in workers, or a control replica. */
export interface Running {
  /** `host:port` as bound: of each listener by name, of a proxy's admin servers, and of the port for the app if there is one. */
  readonly listeners: Readonly<Record<string, string>>;
  readonly admin: string | undefined;
  readonly open?: string | undefined;
  readonly ownership: string | undefined;
  /** Readiness fails at once; resolves when running exchanges have finished or their time is up, and all is closed. */
  drain(): Promise<void>;
}

/**
 * Starts, tells a parent process over IPC what was bound, and runs until SIGTERM, SIGINT, the loss of that parent, or `stop`
 * (POST /drain). Then drains. A second signal ends the process at once. `start` may give up, and resolve with undefined, when its
 * signal says that it has been told to stop.
 */
export async function runUntilSignal(
  start: (stop: (why: string) => void, signal: AbortSignal) => Promise<Running | undefined>,
  log: Log,
): Promise<ExitCode> {
  const ending = Promise.withResolvers<string>();
  const stopping = new AbortController();
  const stop = (why: string): void => {
    ending.resolve(why);
    stopping.abort();
  };
  const onSignal = (signal: string): void => {
    if (stopping.signal.aborted) {
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
    const running = await start(stop, stopping.signal);
    if (running === undefined) {
      log.info("ended before anything was served", { why: await ending.promise });
      return 0;
    }
    const { listeners, admin, open, ownership } = running;
    const own = {
      ...(admin === undefined ? {} : { admin }),
      ...(open === undefined ? {} : { open }),
      ...(ownership === undefined ? {} : { ownership }),
    };
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
