// Attack: "MadeYouReset" (CVE-2025-8671). Rapid reset with the roles exchanged: the client breaks a rule on each stream
// so that the server resets it. The stream is gone for the protocol, its work at the endpoint goes on, and a count of
// the client's own RST_STREAM frames sees nothing.
import { expect, test } from "vitest";
import { frame, numberFrame, priorityPayload, types } from "../../support/http2-frames.ts";
import type { Http2Peer } from "../../support/http2-peer.ts";
import { get, post } from "../../support/http2-sidecar.ts";
import { expectCalmed, flood, startSiege } from "../../support/http2-siege.ts";
import type { PeerStream } from "../../support/http2-stream.ts";

const faults: readonly (readonly [string, (peer: Http2Peer, stream: PeerStream) => void])[] = [
  ["WINDOW_UPDATE of nothing", (peer, { id }) => peer.send(numberFrame(types.windowUpdate, id, 0))],
  ["a window above 2^31-1", (peer, { id }) => peer.send(numberFrame(types.windowUpdate, id, 2 ** 31 - 1))],
  ["PRIORITY of a wrong length", (peer, { id }) => peer.send(frame(types.priority, 0, id, Buffer.alloc(4)))],
  ["DATA beyond the content-length", (_, stream) => stream.data("more than that")],
  ["trailers that do not end the stream", (_, stream) => stream.head([["x-end", "1"]])],
];

test.each(faults)("%s", async (_, commit) => {
  const siege = await startSiege({ limits: { http2ResetBurst: 50, http2ResetsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 3000, () => commit(attacker, attacker.request(post("/", ["content-length", "2"]), {})));
  await expectCalmed(siege, "reset");
});

test("malformed requests", async () => {
  const siege = await startSiege({ limits: { http2ResetBurst: 50, http2ResetsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 3000, () => attacker.request(get("/", ["Upper", "case"])));
  await expectCalmed(siege, "reset");
});

test("a stream that depends on itself is no reason to reset it: priorities are obsolete (RFC 9113 §5.3)", async () => {
  const { attacker, neighbour } = await startSiege();
  const id = attacker.nextId;
  attacker.send(frame(types.priority, 0, id, priorityPayload(id, 1)));
  const asked = await attacker
    .request(get())
    .over()
    .catch(() => undefined);
  const calm = asked === undefined || asked.resetCode === 1 || asked.heads[0]?.status === 200;
  expect(calm || attacker.goaways[0]?.code === 1).toBe(true);
  await neighbour.stop();
});
