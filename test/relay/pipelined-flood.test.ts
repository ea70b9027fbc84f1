// Attack: a client sends requests without end on one connection and reads none of the answers. What it has sent must wait
// in the kernel's buffers and what it has not read must not pile up in the process: neither the requests nor the answers,
// be they the app's or the sidecar's own.
import { expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { memoryGrowth, untilQuiet } from "../support/quiet.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

const MIB = 1024 * 1024;

describeRelay("a pipelined flood", (mode) => {
  test.each([
    ["of the app's answers", "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n"],
    ["of our own answers", "GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=nobody\r\n\r\n"],
  ])("%s that nobody reads stays in the kernel", async (_, request) => {
    const answer = ok("x".repeat(16 * 1024));
    let answers = 0;
    const backend = await startAnswering(() => {
      answers++;
      return answer;
    });
    const sidecar = await startSidecar({ ...mode, target: backend.name, tenancy: { onUnknownKey: "reject" } });
    const client = await sidecar.connect();
    client.socket.pause();
    const growth = memoryGrowth();
    const batch = request.repeat(1000);
    let accepted = 0;
    const pump = (): void => {
      // 64 MiB of requests would make half a gigabyte of answers.
      while (accepted < 64 * MIB) {
        accepted += batch.length;
        if (!client.socket.write(batch)) break;
      }
    };
    client.socket.on("drain", pump);
    pump();
    await untilQuiet(() => client.socket.bytesWritten - client.socket.writableLength + answers);
    expect(accepted).toBeLessThan(32 * MIB);
    expect(answers * answer.length).toBeLessThan(32 * MIB);
    expect(growth()).toBeLessThan(64 * MIB);
    // It goes on where it stood as soon as somebody reads.
    client.forget();
    const before = client.bytesReceived;
    client.socket.resume();
    await client.untilBytes(before + 8 * MIB);
    client.abort();
  });
});
