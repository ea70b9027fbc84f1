// Makes a clean checkout usable: installs the locked dependencies and the pinned Node, once.
//
// Runs before every npm script, on whatever Node the machine has (20 or newer), so it is plain JavaScript without
// dependencies. The pinned Node comes from the npm registry (scripts/node, with a lock file of its own so that users
// of the package never download it) and is linked into node_modules/.bin, which npm puts first on the PATH: every
// script of package.json that says `node` runs on it.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pinned = join(root, "scripts", "node");
const bin = join(root, "node_modules", ".bin");
const stamp = join(root, "node_modules", ".setup-stamp");
const link = join(bin, process.platform === "win32" ? "node.exe" : "node");

const wanted = createHash("sha256")
  .update(process.platform + process.arch)
  .update(readFileSync(join(root, "package-lock.json")))
  .update(readFileSync(join(pinned, "package-lock.json")))
  .digest("hex");

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) setUp();

function setUp() {
  console.error("sidelane: installing the locked dependencies (once)");
  npm("ci", root);
  npm("ci", pinned);
  const node = pinnedNode();
  if (node === undefined) {
    const [major, minor] = process.versions.node.split(".").map(Number);
    if (major < 22 || (major === 22 && minor < 19)) {
      console.error(
        `sidelane: no pinned Node for ${process.platform}-${process.arch}, and this Node is ${process.version}; ` +
          "install Node 24 (at least 22.19) and run the command again",
      );
      process.exit(1);
    }
  } else {
    mkdirSync(bin, { recursive: true });
    rmSync(link, { force: true });
    if (process.platform === "win32") writeFileSync(link, readFileSync(node));
    else symlinkSync(relative(bin, node), link);
    chmodSync(node, 0o755);
  }
  writeFileSync(stamp, wanted);
}

/** The executable of the platform's package, or undefined where the registry has none for this platform. */
function pinnedNode() {
  const modules = join(pinned, "node_modules");
  if (!existsSync(modules)) return undefined;
  for (const name of readdirSync(modules)) {
    for (const executable of ["bin/node", "bin/node.exe"]) {
      const path = join(modules, name, executable);
      if (name.startsWith("node-") && existsSync(path)) return path;
    }
  }
  return undefined;
}

function npm(command, directory) {
  // npm sets npm_execpath when it runs us; without it (node scripts/setup.mjs) the npm on the PATH does.
  const cli = process.env.npm_execpath;
  const args = [command, "--no-audit", "--no-fund", "--loglevel=error"];
  const env = { ...process.env, npm_config_engine_strict: "false" };
  const options = { cwd: directory, stdio: ["ignore", 2, "inherit"], env };
  try {
    if (cli?.endsWith(".js")) execFileSync(process.execPath, [cli, ...args], options);
    else execFileSync("npm", args, { ...options, shell: process.platform === "win32" });
  } catch {
    console.error(`sidelane: 'npm ${command}' failed in ${directory}; its message is above`);
    process.exit(1);
  }
}
