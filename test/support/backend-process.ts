// A backend in a process of its own, for tests that kill it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { onTestFinished } from "vitest";

const code = `
  const body = "x".repeat(100000);
  const server = require("node:http").createServer({ keepAliveTimeout: 60000 }, (request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-length": body.length });
      response.write(body.slice(0, 50000));
      setTimeout(() => response.end(body.slice(50000)), 2);
    });
  });
  server.listen(Number(process.argv[1]), "127.0.0.1", () => console.log(server.address().port));
`;

/** Bytes of each of its answers: more than one write, with a moment between the writes. */
export const ANSWER_BYTES = 100_000;

/** A running backend. */
export interface BackendProcess {
  readonly port: number;
  /** Ends it as `kill -9` does. */
  kill(): Promise<void>;
}

/** Starts it on a port, 0 for any; killed when the test is over. */
export async function startBackendProcess(port = 0): Promise<BackendProcess> {
  const child: ChildProcess = spawn(process.execPath, ["-e", code, String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  onTestFinished(kill);
  const [line] = (await once(child.stdout as NodeJS.EventEmitter, "data")) as [Buffer];
  return { port: Number(line.toString()), kill };
}
