// The Autobahn test suite against an echo server, directly and through a sidecar: the same results, case by case. Not part of
// `npm test`, because it needs Python 2.7; where these tests run it has to be there.
import { expect, test } from "vitest";
import { installAutobahn, runAutobahn } from "../support/autobahn.ts";
import { startSidecar } from "../support/sidecar.ts";
import { echo, startWebSocketApp } from "../support/websocket.ts";

/** Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, limits (messages up to 16 MiB), and all the rest. */
const PLAIN = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"];
/**
 * permessage-deflate in all its variants. Each has 18 cases of 1000 messages that differ in length alone; the shortest, one in
 * the middle and one that is fragmented tell as much in a fifth of the time.
 */
const COMPRESSED = [
  ...["12.1", "12.2", "12.3", "12.4", "12.5"],
  ...["13.1", "13.2", "13.3", "13.4", "13.5", "13.6", "13.7"],
].flatMap((variant) => [`${variant}.1`, `${variant}.5`, `${variant}.11`]);

test(
  "Autobahn finds no difference between an echo server and the same one behind a sidecar",
  { timeout: 900_000 },
  async () => {
    const suite = await installAutobahn();
    const app = await startWebSocketApp(echo, { perMessageDeflate: true, maxFragments: 100_000 });
    const sidecar = await startSidecar({ target: app.name });
    const servers = { direct: Number(app.name.split(":")[1]), relayed: sidecar.port() };
    const report = await runAutobahn(suite, servers, [...PLAIN, ...COMPRESSED]);
    const [direct = {}, relayed = {}] = [report["direct"], report["relayed"]];
    expect(Object.keys(direct).length).toBeGreaterThan(330);
    const verdicts = (results: typeof direct): object =>
      Object.fromEntries(
        Object.entries(results).map(([id, { behavior, behaviorClose, remoteCloseCode }]) => [
          id,
          `${behavior}, ${behaviorClose}, ${remoteCloseCode}`,
        ]),
      );
    expect(verdicts(relayed)).toEqual(verdicts(direct));
    // Without this an echo server that fails every case would be "no difference", too.
    expect(Object.values(direct).filter(({ behavior }) => behavior === "FAILED")).toEqual([]);
  },
);
