import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { constants, setPriority } from "node:os";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { LoadAnswer, LoadJob } from "./load-bytes.ts";

/** Generous: 100,000 sandboxes take seconds. Whoever is not done by then hangs. */
const LOAD_MS_MAX = 120_000;
/** A table up to this size is loaded in a fifth of a second, and people wait for it; a larger one lets the requests go first. */
const PROMPT_BYTES_MAX = 256 * 1024;
const HEAD_BYTES_MAX = 16 * 1024 * 1024;
const STDERR_BYTES_MAX = 16 * 1024;
const NEWLINE = 0x0a;

type Loaded = LoadAnswer & { readonly result: "loaded" };
/** The first line of the child's output; `imageBytes` bytes follow. */
export type ChildHead = Exclude<LoadAnswer, Loaded> | (Omit<Loaded, "image"> & { readonly imageBytes: number });

/** What only tests change. */
export interface OffLoopOptions {
  readonly timeoutMs?: number;
  /** Arguments to node. */
  readonly program?: readonly string[];
}

/** Runs as source (.ts, by type stripping) and as compiled (.js). */
const childProgram = [
  fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./load-child.ts" : "./load-child.js", import.meta.url)),
];

/** `loadBytes` in a process of its own: see `answerOffLoop`. */
export function loadOffLoop(job: LoadJob, signal: AbortSignal, options: OffLoopOptions = {}): Promise<LoadAnswer> {
  const { timeoutMs = LOAD_MS_MAX, program = childProgram } = options;
  const prompt = job.bytes.length <= PROMPT_BYTES_MAX;
  return answerOffLoop(
    { program: [...program, job.file, ...job.knownDigests], input: job.bytes, prompt },
    signal,
    timeoutMs,
  );
}

/** What a loading process is started with. */
export interface OffLoopJob {
  /** Arguments to node. */
  readonly program: readonly string[];
  /** For its standard input: at once, or in pieces as it reads them. */
  readonly input: Uint8Array | Iterable<string>;
  /** Somebody waits for it; otherwise the requests go first. */
  readonly prompt: boolean;
}

/**
 * Loads a table in a process of its own, so that the event loop goes on serving. The process lives for one job: its heap, many
 * times the size of the table, goes with it, and so do the parsers of files, which would cost the data plane 15 MB. Never
 * rejects: one that cannot start, crashes, runs out of memory or out of time is an answer like any other.
 *
 * Why not a worker thread, which starts faster: a thread that runs out of heap quickly enough takes the whole process down
 * (V8 has no way to fail one isolate), its heap stays with the process for a while, and its helper threads cannot be told
 * to let the requests go first.
 */
export function answerOffLoop(
  { program, input, prompt }: OffLoopJob,
  signal: AbortSignal,
  timeoutMs: number = LOAD_MS_MAX,
): Promise<LoadAnswer> {
  if (signal.aborted) return Promise.resolve(failed("stopped"));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...program], {
      // What is preloaded or inspected here has no business there, and it needs nothing else of the environment.
      env: {},
      stdio: "pipe",
    });
    if (!prompt) yieldToRequests(child);
    let gaveUp: string | undefined;
    const giveUp = (what: string): void => {
      gaveUp ??= what;
      child.kill("SIGKILL");
    };
    const onAbort = (): void => giveUp("stopped");
    const timer = setTimeout(() => giveUp(`no answer within ${timeoutMs} ms`), timeoutMs);
    signal.addEventListener("abort", onAbort);

    const output = new ChildOutput(() => giveUp("what the loading process says makes no sense"));
    child.stdout.on("data", (chunk: Buffer) => output.add(chunk));
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      if (stderr.length < STDERR_BYTES_MAX) stderr += chunk.toString("latin1");
    });
    child.stdin.on("error", () => {}); // it ended without reading: "close" says how
    if (input instanceof Uint8Array) child.stdin.end(input);
    else Readable.from(input, { objectMode: true, highWaterMark: 1 }).pipe(child.stdin);

    let notStarted: string | undefined;
    child.on("error", (error) => (notStarted = error.message));
    // Always the last event, so that no process outlives its answer.
    child.on("close", (code, killed) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      const answer = code === 0 ? output.answer() : undefined;
      const ending = notStarted ?? `the loading process ended with ${killed ?? `exit code ${code}`}${causeIn(stderr)}`;
      resolve(gaveUp === undefined ? (answer ?? failed(ending)) : failed(gaveUp));
    });
  });
}

/** Takes the child's output apart as it comes; the image is copied once, in the pieces in which it arrives. */
class ChildOutput {
  readonly #onNonsense: () => void;
  #headText: Buffer = Buffer.alloc(0);
  #head: ChildHead | undefined = undefined;
  #image = new Uint8Array(0);
  #filled = 0;

  constructor(onNonsense: () => void) {
    this.#onNonsense = onNonsense;
  }

  add(chunk: Buffer): void {
    if (this.#head !== undefined) return this.#addImage(chunk);
    const end = chunk.indexOf(NEWLINE);
    this.#headText = Buffer.concat([this.#headText, end === -1 ? chunk : chunk.subarray(0, end)]);
    if (this.#headText.length > HEAD_BYTES_MAX) return this.#onNonsense();
    if (end === -1) return;
    try {
      this.#head = JSON.parse(this.#headText.toString()) as ChildHead; // our own program wrote it
      if (this.#head.result === "loaded") this.#image = new Uint8Array(this.#head.imageBytes);
    } catch {
      return this.#onNonsense();
    }
    this.#addImage(chunk.subarray(end + 1));
  }

  #addImage(chunk: Buffer): void {
    if (this.#filled + chunk.length > this.#image.length) return this.#onNonsense();
    this.#image.set(chunk, this.#filled);
    this.#filled += chunk.length;
  }

  /** Undefined when it is not complete. */
  answer(): LoadAnswer | undefined {
    if (this.#head === undefined || this.#filled < this.#image.length) return undefined;
    return answerOf(this.#head, this.#image.buffer);
  }
}

/** The answer whose head came as text and whose image came as bytes. */
export function answerOf(head: ChildHead, image: ArrayBuffer): LoadAnswer {
  if (head.result !== "loaded") return head;
  const { result, digest, warnings, cpuMs } = head;
  return { result, digest, warnings, image: { buffer: image }, ...(cpuMs === undefined ? {} : { cpuMs }) };
}

/** The two parts of an answer, for the way between processes. */
export function partsOf(answer: LoadAnswer): { readonly head: ChildHead; readonly image: Uint8Array } {
  if (answer.result !== "loaded") return { head: answer, image: new Uint8Array(0) };
  const { image, ...rest } = answer;
  return { head: { ...rest, imageBytes: image.buffer.byteLength }, image: new Uint8Array(image.buffer) };
}

/** Beside one busy core there may be no second one. Set at once, so that the child's helper threads inherit it. */
function yieldToRequests({ pid }: ChildProcess): void {
  if (pid === undefined) return; // not started; an "error" event follows
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // Forbidden here, or ended already.
  }
}

/** The line that matters in a stack trace or in V8's last words. */
function causeIn(stderr: string): string {
  const line = /^(?:FATAL ERROR|[A-Za-z]*Error\b).*$/mu.exec(stderr)?.[0];
  return line === undefined ? "" : `: ${line}`;
}

function failed(message: string): LoadAnswer {
  return { result: "failed", message };
}
