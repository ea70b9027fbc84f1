import { baseline, compare, giftWrapped, plain, refused, release42 } from "./expected.ts";
import type { Expected } from "./expected.ts";
import { countGrpc } from "./grpc-count.ts";
import { LOAD_CLIENTS, loadDuring } from "./load.ts";
import { order } from "./order.ts";
import type { Route } from "./order.ts";
import { scenes } from "./scenes/scenes.ts";
import type { Shop } from "./shop.ts";
import { services } from "./shop-plan.ts";
import type { Stage } from "./stage.ts";

/** Instances of checkout, the only caller of pricing. */
const CHECKOUTS = 2;

/** One order and everything that must be true of its answer. */
interface Step extends Expected {
  readonly baggage: string | undefined;
  readonly why: string;
}

const unavailable: Expected = { ...refused, reason: "sandbox-unavailable" };

const steps: readonly Step[] = [
  {
    ...plain,
    baggage: undefined,
    why: "no key: the baseline of every service",
    decision: "front=baseline;reason=no-key",
  },
  {
    ...giftWrapped,
    baggage: "sidelane=pr-7",
    why: "sandbox pr-7 has a checkout of its own; everything else is shared",
  },
  {
    ...plain,
    baggage: "sidelane=pr-9",
    why: "sandbox pr-9 changes pricing, two hops away, by gRPC: OpenTelemetry carried the key there, in the call's metadata",
    route: { ...baseline, pricing: "pr-9" },
    cents: 378,
  },
  {
    ...plain,
    baggage: "sidelane=pr-11",
    why: "sandbox pr-11 changes recommend: the key of its handshake says where a WebSocket goes",
    route: { ...baseline, recommend: "pr-11" },
    recommended: "lemon",
  },
  {
    ...release42,
    baggage: "user=ada,sidelane=release-42",
    why: "the group release-42 selects both, wherever the key stands in the baggage",
  },
  {
    ...plain,
    baggage: "sidelane=pr-404",
    why: "nobody has this key: the baseline answers, and says why when asked",
    decision: "front=baseline;reason=unknown-key",
  },
  {
    ...plain,
    baggage: "sidelane=pr-77",
    why: "pr-77 is not pr-7: keys are parsed and compared, never searched for",
    decision: "front=baseline;reason=unknown-key",
  },
];

/** Runs the whole scenario, showing it as it goes; the stage has what differed from what must be. */
export async function runScenario(shop: Shop, stage: Stage): Promise<void> {
  stage.tableHead();
  for (const step of steps) await runStep(shop, stage, step);
  await editUnderLoad(shop, stage);
  await checkSharing(shop, stage);
  await crashAndReturn(shop, stage);
  await shop.startScenes();
  for (const scene of scenes) {
    stage.heading(scene.title);
    await scene.play(shop, stage);
  }
}

async function runStep(shop: Shop, stage: Stage, step: Step): Promise<void> {
  const { baggage, why } = step;
  const result = await order(shop.entrance, baggage === undefined ? {} : { baggage });
  stage.order(baggage ?? "(none)", result, compare(step, result), why);
  if (step.decision.endsWith("unknown-key")) stage.note(`x-sidelane-route: ${result.decision}`);
}

/** pr-9 leaves the group while clients order with it: no order fails, and each is answered by the table of its moment. */
async function editUnderLoad(shop: Shop, stage: Stage): Promise<void> {
  stage.heading(`${LOAD_CLIENTS} clients order with sidelane=release-42 while pr-9 is edited out of the group`);
  let editMs = 0;
  const report = await loadDuring(shop.entrance, "sidelane=release-42", async () => {
    editMs = await shop.edit(["pr-7"]);
  });

  const [oldRoute, newRoute] = [release42.route, giftWrapped.route];
  const allowed = { before: [oldRoute], during: [oldRoute, newRoute], after: [newRoute] };
  const labels = { before: "before the edit", during: "in that moment", after: "after the edit" };
  const same = (one: Route, other: Route): boolean => services.every((service) => one[service] === other[service]);
  for (const { phase, route, count } of report.routes) {
    stage.count(
      allowed[phase].some((wanted) => same(wanted, route)),
      labels[phase],
      route,
      count,
    );
  }
  for (const phase of ["before", "after"] as const) {
    if (report.routes.some((entry) => entry.phase === phase)) continue;
    stage.problems.push(`no order was answered ${labels[phase]}`);
  }

  stage.check(
    report.sent === report.answered && report.failures.length === 0,
    `${report.sent} sent, ${report.answered} answered, ${report.failures.length} failed; ` +
      `every sidecar had the new table ${Math.ceil(editMs)} ms after the file was written`,
  );
  for (const failure of new Set(report.failures)) {
    stage.problems.push(`an order failed during the table edit: ${failure}`);
  }
}

/** All orders shared one gRPC connection for each caller: a key chooses for its call, not for the connection. */
async function checkSharing(shop: Shop, stage: Stage): Promise<void> {
  const { connections, calls } = await countGrpc(shop.admin("pricing"));
  const [toBaseline = 0, toSandbox = 0] = ["baseline", "pr-9"].map((destination) => calls.get(destination));
  stage.check(
    connections === CHECKOUTS && toBaseline > 0 && toSandbox > 0,
    `gRPC calls on ${connections} connections, one from each checkout, went their own ways: ` +
      `${toBaseline} to the baseline of pricing, ${toSandbox} to pr-9`,
  );
}

/** A sandbox that is gone is an error, not silently the baseline; when it comes back elsewhere, an edit is enough. */
async function crashAndReturn(shop: Shop, stage: Stage): Promise<void> {
  stage.heading("the machines of pr-9 and pr-11 die, and come back at other addresses");
  await Promise.all([shop.crash("pr-9"), shop.crash("pr-11")]);
  await runStep(shop, stage, {
    ...unavailable,
    baggage: "sidelane=pr-9",
    why: "an error with its reason, to checkout as a gRPC status: the baseline instead would look like a passing test",
  });
  await runStep(shop, stage, {
    ...unavailable,
    baggage: "sidelane=pr-11",
    why: "the same answer to the handshake of a WebSocket",
  });
  await runStep(shop, stage, { ...giftWrapped, baggage: "sidelane=pr-7", why: "nobody else notices" });
  await Promise.all([shop.revive("pr-9"), shop.revive("pr-11")]);
  await shop.edit(["pr-7", "pr-9"]);
  await runStep(shop, stage, {
    ...release42,
    baggage: "sidelane=release-42",
    why: "one edit of the table, and pr-9 is back, in the group too",
  });
  await runStep(shop, stage, {
    ...plain,
    baggage: "sidelane=pr-11",
    why: "and so is pr-11",
    route: { ...baseline, recommend: "pr-11" },
    recommended: "lemon",
  });
}
