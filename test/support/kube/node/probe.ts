// One probe as the kubelet does it, from outside the pod.
import { once } from "node:events";
import { request as requestHttp } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as requestHttps } from "node:https";
import { connect } from "node:net";
import type { ContainedProcess } from "./contained.ts";
import { type Container, type Handler, type HttpGet, portOf } from "./pod.ts";

export interface Probed {
  readonly container: Container;
  readonly process: ContainedProcess;
  readonly podIP: string;
}

/** undefined: it is well; otherwise a sentence. */
export async function probe(handler: Handler, of: Probed, timeoutMs: number): Promise<string | undefined> {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  try {
    if (exec !== undefined) {
      const { code, output } = await of.process.exec(exec.command, timeoutMs);
      return code === 0 ? undefined : `command ends with ${code}: ${output.trim()}`;
    }
    if (httpGet !== undefined) return await askHttp(httpGet, of, timeoutMs);
    if (tcpSocket !== undefined)
      return await askTcp(tcpSocket.host ?? of.podIP, numbered(of, tcpSocket.port), timeoutMs);
    if (grpc !== undefined) return await askGrpc(of.podIP, grpc.port, grpc.service ?? "", timeoutMs);
    if (sleep !== undefined) await new Promise((resolve) => void setTimeout(resolve, sleep.seconds * 1000));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function numbered({ container }: Probed, port: number | string): number {
  const found = portOf(container, port);
  if (found === undefined) throw new Error(`container ${container.name} has no port named ${port}`);
  return found;
}

function askHttp(
  { host, path = "/", port, scheme, httpHeaders = [] }: HttpGet,
  of: Probed,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const isTls = scheme?.toUpperCase() === "HTTPS";
    const headers: Record<string, string> = { "user-agent": "kube-probe/1.34", accept: "*/*" };
    for (const { name, value } of httpHeaders) headers[name.toLowerCase()] = value;
    const options = {
      host: host ?? of.podIP,
      port: numbered(of, port),
      path: path.startsWith("/") ? path : `/${path}`,
      headers,
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
      ...(isTls && { rejectUnauthorized: false }),
    };
    const asked = (isTls ? requestHttps : requestHttp)(options, (answer) => {
      answer.resume();
      answer.on("error", reject);
      const status = answer.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
    });
    asked.on("error", reject);
    asked.end();
  });
}

function askTcp(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const finish = (problem?: string): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.once("connect", () => finish());
    socket.once("timeout", () => finish(`no connection to port ${port} in ${timeoutMs} ms`));
    socket.once("error", (error) => finish(error.message));
  });
}

async function askGrpc(host: string, port: number, service: string, timeoutMs: number): Promise<string | undefined> {
  const session = connectHttp2(`http://${host}:${port}`);
  const timer = setTimeout(() => session.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
  try {
    const failed = once(session, "error").then(([error]) => Promise.reject(error as Error));
    const asked = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    asked.on("error", () => {});
    const name = Buffer.from(service);
    const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
    asked.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
    const body = asked.toArray() as Promise<Buffer[]>;
    const answer = Buffer.concat(await Promise.race([body, failed]));
    // HealthCheckResponse.status = SERVING
    return answer.subarray(5).equals(Buffer.from([8, 1])) ? undefined : "service unhealthy";
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}
