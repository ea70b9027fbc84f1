// A developer's machine: `sidelane connect` on this host, which reaches the control plane's Service as from inside of the cluster.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repository } from "./images.ts";
import type { World } from "./world.ts";

export interface Developer {
  /** All that the command has said. */
  readonly output: string;
  /** As Ctrl-C; resolves with the exit code. */
  leave(): Promise<number | null>;
  /** At once and without a word: a machine that is gone. */
  kill(): Promise<void>;
}

/** Takes the requests of a sandbox for services, `back.shop=127.0.0.1:3000`, until it leaves. */
export async function connectDeveloper(world: World, sandbox: string, services: readonly string[]): Promise<Developer> {
  const { data } = await world.cluster.api.get<{ readonly data: Readonly<Record<string, string>> }>(
    "/api/v1/namespaces/sidelane/secrets/sidelane-control-tls",
  );
  const ca = join(world.cluster.folder, "developer-ca.crt");
  await writeFile(ca, Buffer.from(data["ca.crt"] ?? "", "base64"));
  const { spec } = await world.cluster.api.get<{ readonly spec: { readonly clusterIP: string } }>(
    "/api/v1/namespaces/sidelane/services/sidelane-control",
  );
  const argv = [
    ...["--import", join(import.meta.dirname, "..", "cluster-names.ts"), join(repository, "src", "main.ts"), "connect"],
    ...["--sandbox", sandbox, ...services.flatMap((service) => ["--service", service])],
  ];
  const child = spawn(process.execPath, argv, {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SIDELANE_CONTROL: "https://sidelane-control.sidelane.svc:15020",
      SIDELANE_CA: ca,
      SIDELANE_TOKEN: await world.cluster.token("sidelane", "sidelane-developer", { audience: "sidelane" }),
      SIDELANE_TEST_SERVICES: spec.clusterIP,
    },
  });
  const exited = once(child, "close") as Promise<[number | null]>;
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return (await exited)[0];
  };
  return {
    get output() {
      return output;
    },
    leave: () => end("SIGINT"),
    kill: async () => void (await end("SIGKILL")),
  };
}
