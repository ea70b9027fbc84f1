import { expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { EventRecorder } from "./event-recorder.ts";
import { KubeError } from "./kube-error.ts";

const about = {
  apiVersion: "sidelane.dev/v1alpha1",
  kind: "Sandbox",
  object: { metadata: { name: "pr-7", namespace: "shop", uid: "u" } },
};

test("the same event is written once, another at once, and nothing that goes wrong is anybody's problem", async () => {
  const written: object[] = [];
  const client = {
    create: async (_: string, event: object) => {
      written.push(event);
      if (written.length === 2) throw new KubeError(403, "Forbidden", "the namespace is going");
      return event;
    },
    patch: async () => ({}),
  };
  const recorder = new EventRecorder(client as never, "sidelane-operator", silentLog);
  for (let i = 0; i < 3; i++) await recorder.record(about, "Warning", "CrashLoop", "it ends");
  await recorder.record(about, "Normal", "Ready", "it is there");
  await recorder.record(about, "Normal", "Ready", "it is there".repeat(1000));
  expect(written).toMatchObject([
    { reason: "CrashLoop", type: "Warning", involvedObject: { kind: "Sandbox", name: "pr-7", uid: "u" }, count: 1 },
    { reason: "Ready", type: "Normal" },
    { reason: "Ready" },
  ]);
  expect((written[2] as { readonly message: string }).message.length).toBeLessThanOrEqual(1024);
});
