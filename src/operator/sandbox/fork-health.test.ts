import { describe, expect, test } from "vitest";
import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import { forkHealth } from "./fork-health.ts";

const pod = (status: JsonMap): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "pr-7-checkout-x", namespace: "shop" },
  status,
});
const ready = pod({ phase: "Running", conditions: [{ type: "Ready", status: "True" }] });
const workload = (status: JsonMap = {}, spec: JsonMap = { replicas: 1 }): KubernetesObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "pr-7-checkout", namespace: "shop", generation: 2 },
  spec,
  status: { observedGeneration: 2, ...status },
});
const container = (state: JsonMap, more: JsonMap = {}): JsonMap => ({
  name: "app",
  image: "checkout:2",
  state,
  ...more,
});
const health = (pods: readonly KubernetesObject[], of = workload()) =>
  forkHealth({ kind: "Deployment", workload: of, pods });

describe("a fork", () => {
  test("is well when as many pods are ready as are wanted, by the newest spec", () => {
    expect(health([ready])).toEqual({ ready: "1/1", problem: undefined });
    expect(health([ready], workload({}, { replicas: 2 }))).toMatchObject({
      ready: "1/2",
      problem: { reason: "NotReady" },
    });
    expect(health([ready], workload({ observedGeneration: 1 })).problem?.reason).toBe("NotReady");
    const leaving = { ...ready, metadata: { ...ready.metadata, deletionTimestamp: "2026-11-24T00:00:00Z" } };
    expect(health([leaving])).toMatchObject({ ready: "0/1" });
  });

  test.each([
    [
      "CrashLoop",
      container(
        { waiting: { reason: "CrashLoopBackOff" } },
        { restartCount: 4, lastState: { terminated: { exitCode: 3 } } },
      ),
      "kubectl -n shop logs pr-7-checkout-x -c app --previous",
    ],
    [
      "CrashLoop",
      container({ waiting: { reason: "CrashLoopBackOff" } }, { lastState: { terminated: { reason: "OOMKilled" } } }),
      "out of memory",
    ],
    ["ImagePull", container({ waiting: { reason: "ErrImagePull", message: "not found" } }), "checkout:2"],
    [
      "BadConfig",
      container({ waiting: { reason: "CreateContainerConfigError", message: 'secret "x" not found' } }),
      'secret "x" not found',
    ],
  ] as const)("says %s with what to do", (reason, status, text) => {
    const { problem } = health([pod({ phase: "Pending", containerStatuses: [status] })]);
    expect(problem?.reason).toBe(reason);
    expect(problem?.message).toContain(text);
    // An init container as well as any other.
    expect(health([pod({ phase: "Pending", initContainerStatuses: [status] })]).problem?.reason).toBe(reason);
  });

  test("says what keeps pods from being, and what is worst first", () => {
    const unscheduled = pod({
      conditions: [{ type: "PodScheduled", status: "False", message: "0/3 nodes have room" }],
    });
    expect(health([unscheduled]).problem).toMatchObject({
      reason: "Unschedulable",
      message: expect.stringContaining("0/3 nodes"),
    });
    const refused = workload({ conditions: [{ type: "ReplicaFailure", status: "True", message: "exceeded quota" }] });
    expect(health([], refused).problem).toMatchObject({
      reason: "PodsRefused",
      message: expect.stringContaining("exceeded quota"),
    });
    const evicted = pod({ phase: "Failed", reason: "Evicted", message: "disk" });
    expect(health([evicted]).problem).toMatchObject({
      reason: "PodFailed",
      message: expect.stringContaining("Evicted: disk"),
    });
    const pulling = pod({ containerStatuses: [container({ waiting: { reason: "ImagePullBackOff" } })] });
    expect(health([unscheduled, pulling, evicted]).problem?.reason).toBe("ImagePull");
    const probing = pod({ phase: "Running", containerStatuses: [container({ running: {} }, { ready: false })] });
    expect(health([probing]).problem).toMatchObject({
      reason: "NotReady",
      message: expect.stringContaining("readiness probe"),
    });
  });

  test("that runs to an end is well when it has, and a cron job that does not run lacks nothing", () => {
    const job = { ...workload({ succeeded: 1 }, { completions: 1 }), kind: "Job" };
    expect(forkHealth({ kind: "Job", workload: job, pods: [] })).toEqual({ ready: "1/1", problem: undefined });
    expect(forkHealth({ kind: "CronJob", workload: undefined, pods: [] })).toEqual({
      ready: "0/0",
      problem: undefined,
    });
  });

  test("is judged by the pods of its newest template alone", () => {
    const of = (hash: string, creationTimestamp: string, status: KubernetesObject["status"]): KubernetesObject => {
      const one = pod(status ?? {});
      return { ...one, metadata: { ...one.metadata, labels: { "pod-template-hash": hash }, creationTimestamp } };
    };
    const pulling = { containerStatuses: [container({ waiting: { reason: "ImagePullBackOff" } })] };
    const crashing = { containerStatuses: [container({ waiting: { reason: "CrashLoopBackOff" } })] };
    const [early, late] = ["2026-11-24T00:00:00Z", "2026-11-24T00:00:01Z"] as const;
    expect(health([of("a", early, pulling), of("b", late, crashing)]).problem?.reason).toBe("CrashLoop");
    expect(health([of("b", late, crashing), of("a", early, ready.status)])).toMatchObject({
      ready: "0/1",
      problem: { reason: "CrashLoop" },
    });
    expect(health([of("a", early, crashing), of("b", late, ready.status)])).toEqual({
      ready: "1/1",
      problem: undefined,
    });
  });

  test("may hold anything", () => {
    for (const status of [
      {},
      { containerStatuses: "x", conditions: 3 },
      { containerStatuses: [{ state: null }, null, 7] },
    ]) {
      expect(health([pod(status as JsonMap)]).problem?.reason).toBe("NotReady");
    }
  });
});
