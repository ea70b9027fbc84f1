// One process as a container: in its pod's network namespace, with process and mount namespaces and a root of its own, its user and
// capabilities. It ends with the process that started it.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { repository } from "./images.ts";
import type { SecurityContext } from "./pod.ts";

export interface Bind {
  readonly from: string;
  readonly to: string;
  readonly readOnly: boolean;
}

export interface Contained {
  /** Of the network. */
  readonly namespace: string;
  /** An empty folder for its root. */
  readonly root: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly user: number;
  readonly group: number;
  readonly security: SecurityContext;
  readonly binds: readonly Bind[];
  /** What /etc/hosts, /etc/resolv.conf and /etc/hostname say. */
  readonly etc: Readonly<Record<string, string>>;
  readonly logFile: string;
}

export interface Ended {
  readonly exitCode: number;
  readonly signal?: number;
}

// What containerd gives to a container that says nothing.
const usual =
  "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap";
const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
const numbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** The shell script that makes the root and becomes the process. */
function scriptOf(contained: Contained): string {
  const { root, binds, etc, env, argv, workingDir, user, group, security } = contained;
  const sorted = binds.toSorted((a, b) => a.to.length - b.to.length);
  // The project and Node as they are here; of the rest only what programs need that are in /usr.
  const shared = ["/usr", repository, dirname(dirname(process.execPath))].filter(
    (path, at) => at === 0 || !path.startsWith("/usr/"),
  );
  const lines = [
    "set -e",
    `R=${quote(root)}`,
    'mount -t tmpfs -o mode=755 tmpfs "$R"',
    'for e in /*; do if [ -L "$e" ]; then cp -P "$e" "$R$e"; fi; done',
    'mkdir -p "$R/proc" "$R/etc" "$R/run" "$R/var/lib" "$R/var/tmp" "$R/root" "$R/home" "$R/dev" "$R/sys" "$R/image/bin"',
    `mkdir -m 1777 "$R/tmp"; ln -s ../run "$R/var/run"; hostname ${quote(etc["hostname"]?.trim() ?? "pod")}`,
    ...shared.map((path) => `mkdir -p "$R"${quote(path)}; mount --bind -o ro ${quote(path)} "$R"${quote(path)}`),
    'mount --rbind /dev "$R/dev"; mount --rbind /sys "$R/sys"; mount -t proc proc "$R/proc"',
    "for f in passwd group nsswitch.conf alternatives ssl ld.so.cache protocols services ethertypes xtables.conf; do",
    '  if [ -e "/etc/$f" ]; then cp -a "/etc/$f" "$R/etc/"; fi',
    "done",
    ...Object.entries(etc).map(([name, text]) => `printf %s ${quote(text)} > "$R/etc/${name}"`),
    `printf '#!/bin/sh\\nexec %s %s "$@"\\n' ${quote(process.execPath)} ${quote(`${repository}/src/main.ts`)} > "$R/image/bin/sidelane"`,
    'chmod 755 "$R/image/bin/sidelane"',
    ...mountPointsIn(binds),
    ...sorted.flatMap(({ from, to, readOnly }) => {
      const at = `"$R"${quote(to)}`;
      return [
        `if [ -d ${quote(from)} ]; then mkdir -p ${at}; else mkdir -p "$(dirname ${at})"; touch ${at}; fi`,
        `mount --bind${readOnly ? " -o ro" : ""} ${quote(from)} ${at}`,
      ];
    }),
    ...(security.readOnlyRootFilesystem === true ? ['mount -o remount,ro "$R"'] : []),
  ];
  const privileges = ["setpriv", `--reuid=${user}`, `--regid=${group}`, "--clear-groups", "--inh-caps=-all"];
  if (security.privileged !== true) privileges.push(`--bounding-set=-all${boundsOf(security)}`);
  if (security.allowPrivilegeEscalation === false) privileges.push("--no-new-privs");
  const variables = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`));
  const started = `exec ${privileges.join(" ")} env -i ${variables.join(" ")} ${argv.map(quote).join(" ")}`;
  // In order: `unshare` has forked, so the shell's number, and then the program's, is 1.
  return [
    ...lines,
    `exec chroot "$R" sh -c ${quote(`cd ${quote(workingDir)} && echo >&3 && exec 3>&- && ${started}`)}`,
    "",
  ].join("\n");
}

/** A volume that is mounted inside another one has its place made in that one, which may be read-only where it is seen. */
function mountPointsIn(binds: readonly Bind[]): readonly string[] {
  return binds.flatMap((outer) =>
    binds
      .filter(({ to }) => to.startsWith(`${outer.to.replace(/\/$/u, "")}/`))
      .map(({ to }) => `mkdir -p ${quote(outer.from + to.slice(outer.to.replace(/\/$/u, "").length))}`),
  );
}

function boundsOf({ capabilities }: SecurityContext): string {
  const named = (names: readonly string[] = []): string[] =>
    names.map((name) => name.toLowerCase().replace(/^cap_/u, ""));
  const dropped = named(capabilities?.drop);
  const kept = dropped.includes("all") ? [] : usual.split(",").filter((name) => !dropped.includes(name));
  return [...new Set([...kept, ...named(capabilities?.add)])].map((name) => `,+${name}`).join("");
}

export class ContainedProcess {
  readonly ended: Promise<Ended>;
  /** Resolves when its root is made and the program takes over, or when it has ended. */
  readonly began: Promise<void>;
  readonly #contained: Contained;
  readonly #child: ChildProcess;

  constructor(contained: Contained) {
    this.#contained = contained;
    const inside = [
      "unshare",
      "--mount",
      "--uts",
      "--pid",
      "--fork",
      "--kill-child=KILL",
      "sh",
      "-c",
      scriptOf(contained),
    ];
    const namespace = `--net=/run/netns/${contained.namespace}`;
    this.#child = spawn("nsenter", [namespace, "setpriv", "--pdeathsig", "KILL", ...inside], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    const log = createWriteStream(contained.logFile, { flags: "a" });
    log.on("error", () => {});
    this.#child.stdout?.pipe(log, { end: false });
    let isKilled = false;
    if (this.#child.stderr !== null) {
      // By lines: it comes in pieces.
      createInterface({ input: this.#child.stderr }).on("line", (line) => {
        // How util-linux 2.38 ends when what it waits for was killed: it tries to end in the same way, and may not.
        if (line.includes("unshare: sigprocmask unblock failed")) isKilled = true;
        else log.write(`${line}\n`);
      });
    }
    const began = Promise.withResolvers<void>();
    this.#child.stdio[3]?.once("data", () => began.resolve());
    this.ended = new Promise((resolve) => {
      this.#child.once("error", () => resolve({ exitCode: 128 }));
      // After the last line: an interface tells it in the turn in which its stream ends.
      this.#child.once("close", (code, signal) => {
        log.end();
        began.resolve();
        const number = isKilled ? 9 : signal === null ? undefined : (numbers[signal] ?? 9);
        resolve(number === undefined ? { exitCode: code ?? 0 } : { exitCode: 128 + number, signal: number });
      });
    });
    this.began = began.promise;
  }

  /** The first process inside, as this machine numbers it; undefined: there is none (any more). */
  async pid(): Promise<number | undefined> {
    const { pid } = this.#child;
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    return Number(text.split(" ")[0]) || undefined;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const pid = await this.pid();
    try {
      if (pid !== undefined) process.kill(pid, signal);
      else if (signal === "SIGKILL") this.#child.kill("SIGKILL");
    } catch {
      // It has just ended.
    }
  }

  /** Runs a command in it, as `kubectl exec` does. */
  async exec(argv: readonly string[], timeoutMs = 60_000): Promise<{ readonly code: number; readonly output: string }> {
    const pid = await this.pid();
    if (pid === undefined) return { code: 126, output: "the container does not run" };
    const { env, user, group } = this.#contained;
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const inside = [
      "setpriv",
      `--reuid=${user}`,
      `--regid=${group}`,
      "--clear-groups",
      "env",
      "-i",
      ...variables,
      ...argv,
    ];
    return new Promise((resolve) => {
      const command = ["-t", String(pid), "--mount", "--uts", "--net", "--pid", "--root", "--wd", ...inside];
      execFile("nsenter", command, { timeout: timeoutMs, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 137;
        resolve({ code, output: stdout + stderr });
      });
    });
  }
}
