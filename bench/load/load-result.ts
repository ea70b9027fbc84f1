// What every load generator reports, whoever wrote it.

import { pinned, runToEnd } from "../processes.ts";
import { projectFile } from "../project.ts";

/** What the client saw. */
export interface LoadResult {
  /** Answered requests, calls or messages. */
  readonly operations: number;
  readonly durationUs: number;
  /** Bytes received; of which kind is the generator's to say, and its suite's to check. */
  readonly bytes: number;
  /** Connections that failed, time-outs, answers that are none of those expected. */
  readonly errors: number;
  /** One of the errors in words; empty when there is none or the generator does not say. */
  readonly firstError: string;
  /** `undefined` when the generator does not tell percentiles. */
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly p999Us?: number;
}

/** What a line with a result begins with. */
export const resultMarker = "bench-result ";

/** For generators that are programs of their own. */
export function printResult(result: LoadResult): void {
  console.log(resultMarker + JSON.stringify(result));
}

/** @throws Error with the output when there is no result in it. */
export function readResult(name: string, output: string): LoadResult {
  const line = output.split("\n").find((candidate) => candidate.startsWith(resultMarker));
  if (line === undefined) throw new Error(`${name} gave no result:\n${output}`);
  return JSON.parse(line.slice(resultMarker.length)) as LoadResult;
}

/** Runs one of our own generators on one core. @throws Error when it fails; errors of the requests are in the result. */
export async function runProgram(core: number, file: string, parameters: readonly number[]): Promise<LoadResult> {
  const output = await runToEnd(pinned(core, [process.execPath, projectFile(file), ...parameters.map(String)]));
  return readResult(file, output);
}
