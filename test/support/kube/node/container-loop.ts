// A container's life on the test node: started, probed, started again when it ends, stopped.
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { ContainedProcess, Ended } from "./contained.ts";
import { CannotStart } from "./fields.ts";
import type { Container, ContainerState, ContainerStatus, Probe, Terminated } from "./pod.ts";
import { probe } from "./probe.ts";

export interface LoopOptions {
  readonly container: Container;
  /** When it is started again after it has ended. */
  readonly restarts: "always" | "on-failure" | "never";
  readonly podIP: string;
  readonly graceMs: number;
  /** Before the second start anew; doubles each time, up to ten times as much. */
  readonly backOffMs: number;
  launch(): Promise<ContainedProcess>;
  /** The last that it has said. */
  lastWords(): Promise<string>;
  changed(): void;
}

const now = (): string => `${new Date().toISOString().slice(0, 19)}Z`;

export class ContainerLoop {
  readonly container: Container;
  /** Resolves when it is not started any more. */
  readonly done: Promise<void>;
  /** Resolves when it runs and its startup probe has succeeded, or when it is done. */
  readonly started: Promise<void>;
  readonly #options: LoopOptions;
  readonly #stopped = new AbortController();
  readonly #startedOnce = Promise.withResolvers<void>();
  #process: ContainedProcess | undefined;
  #state: ContainerState = { waiting: { reason: "ContainerCreating" } };
  #last: Terminated | undefined;
  #restarts = 0;
  #id = "";
  #isStarted = false;
  #isReady = false;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.container = options.container;
    this.done = this.#run().finally(() => this.#startedOnce.resolve());
    this.started = this.#startedOnce.promise;
  }

  get process(): ContainedProcess | undefined {
    return this.#process;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Its end, when it has ended and does not start again. */
  get ending(): Terminated | undefined {
    return "terminated" in this.#state ? this.#state.terminated : undefined;
  }

  get hasRun(): boolean {
    return !("waiting" in this.#state) || this.#last !== undefined;
  }

  get status(): ContainerStatus {
    const { name, image } = this.container;
    return {
      name,
      image,
      imageID: this.#id === "" ? "" : image,
      containerID: this.#id,
      restartCount: this.#restarts,
      started: this.#isStarted,
      ready: this.#isReady,
      state: this.#state,
      lastState: this.#last === undefined ? {} : { terminated: this.#last },
    };
  }

  /** What its pre-stop hook says, SIGTERM, and SIGKILL when the grace is over; resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped.abort();
    await this.#end(graceMs);
    await this.done;
  }

  async #end(graceMs: number): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    const over = new AbortController();
    const kill = pause(graceMs, undefined, { signal: over.signal }).then(
      () => running.signal("SIGKILL"),
      () => {},
    );
    const preStop = this.container.lifecycle?.preStop;
    if (preStop !== undefined && graceMs > 0) {
      const hook = probe(preStop, { ...this.#options, process: running }, graceMs);
      await Promise.race([hook, running.ended, kill]);
    }
    await running.signal("SIGTERM");
    await running.ended;
    over.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let pulled = 0;
    for (let crashes = 0; !signal.aborted;) {
      let running: ContainedProcess;
      try {
        running = await this.#options.launch();
        await running.began;
      } catch (error) {
        const known = error instanceof CannotStart ? error : new CannotStart("CreateContainerError", String(error));
        // Turns between the two as the kubelet's does.
        const reason = known.reason === "ErrImagePull" && (pulled += 1) % 2 === 0 ? "ImagePullBackOff" : known.reason;
        this.#to({ waiting: { reason, message: known.message } });
        await pause(500, undefined, { signal }).catch(() => {});
        continue;
      }
      const ended = await this.#follow(running);
      const failed = ended.exitCode !== 0;
      const { restarts } = this.#options;
      if (signal.aborted || restarts === "never" || (restarts === "on-failure" && !failed)) return;
      this.#last = ended;
      // The first time at once, as the kubelet.
      const backOffMs = crashes === 0 ? 0 : this.#options.backOffMs * Math.min(10, 2 ** (crashes - 1));
      crashes += 1;
      if (backOffMs > 0) {
        const message = `back-off ${backOffMs}ms restarting failed container=${this.container.name}`;
        this.#to({ waiting: { reason: "CrashLoopBackOff", message } });
        await pause(backOffMs, undefined, { signal }).catch(() => {});
        // Its last state stays to be seen, and it counts as ended.
        if (signal.aborted) return this.#to({ terminated: ended });
      }
      this.#restarts += 1;
    }
    if (!("terminated" in this.#state)) {
      const why = { exitCode: 137, reason: "ContainerStatusUnknown", finishedAt: now() };
      this.#to({ terminated: why });
    }
  }

  /** From its start to its end. */
  async #follow(running: ContainedProcess): Promise<Terminated> {
    this.#process = running;
    this.#id = `test://${randomUUID()}`;
    const startedAt = now();
    this.#to({ running: { startedAt } });
    const over = new AbortController();
    const postStart = this.container.lifecycle?.postStart;
    if (postStart !== undefined) void probe(postStart, { ...this.#options, process: running }, 60_000);
    void this.#watch(running, over.signal);
    const ended = await running.ended;
    over.abort();
    this.#process = undefined;
    this.#isStarted = false;
    this.#isReady = false;
    const message = ended.exitCode === 0 ? "" : await this.#options.lastWords();
    const terminated = asTerminated(ended, startedAt, message);
    this.#isReady = ended.exitCode === 0 && this.#options.restarts !== "always";
    this.#to({ terminated });
    return terminated;
  }

  /** Its probes, until it ends. */
  async #watch(running: ContainedProcess, over: AbortSignal): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe } = this.container;
    const killed = (): void => void this.#end(this.#options.graceMs);
    if (startupProbe !== undefined) {
      const isUp = Promise.withResolvers<void>();
      void this.#repeat(startupProbe, running, over, (isWell) => {
        if (isWell) isUp.resolve();
        else killed();
        return false;
      });
      await isUp.promise;
    }
    if (over.aborted) return;
    this.#isStarted = true;
    this.#isReady = readinessProbe === undefined;
    this.#startedOnce.resolve();
    this.#options.changed();
    if (readinessProbe !== undefined) {
      void this.#repeat(readinessProbe, running, over, (isWell) => {
        if (this.#isReady !== isWell) {
          this.#isReady = isWell;
          this.#options.changed();
        }
        return true;
      });
    }
    if (livenessProbe !== undefined) {
      void this.#repeat(livenessProbe, running, over, (isWell) => {
        // The kubelet does not kill for it what is being stopped.
        if (!isWell && !this.#stopped.signal.aborted) killed();
        return isWell;
      });
    }
  }

  /** Tells each verdict past its threshold, as long as it is wanted. */
  async #repeat(
    one: Probe,
    running: ContainedProcess,
    over: AbortSignal,
    tell: (isWell: boolean) => boolean,
  ): Promise<void> {
    const { initialDelaySeconds = 0, periodSeconds = 10, timeoutSeconds = 1 } = one;
    const { successThreshold = 1, failureThreshold = 3 } = one;
    let [good, bad] = [0, 0];
    const wait = async (seconds: number): Promise<unknown> =>
      pause(seconds * 1000, undefined, { signal: over }).catch(() => {});
    await wait(initialDelaySeconds);
    while (!over.aborted) {
      const problem = await probe(one, { ...this.#options, process: running }, timeoutSeconds * 1000);
      if (over.aborted) return;
      [good, bad] = problem === undefined ? [good + 1, 0] : [0, bad + 1];
      const isDecided = good >= successThreshold || bad >= failureThreshold;
      if (isDecided && !tell(problem === undefined)) return;
      // A container that just comes up is asked again sooner than its period says: nothing but the test would wait.
      await wait(good === 0 && bad < failureThreshold ? Math.min(periodSeconds, 0.5) : periodSeconds);
    }
  }

  #to(state: ContainerState): void {
    this.#state = state;
    this.#options.changed();
  }
}

function asTerminated({ exitCode, signal }: Ended, startedAt: string, message: string): Terminated {
  return {
    exitCode,
    ...(signal !== undefined && { signal }),
    reason: exitCode === 0 ? "Completed" : "Error",
    ...(message !== "" && { message }),
    startedAt,
    finishedAt: now(),
  };
}
