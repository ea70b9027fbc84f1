import { countGrpc } from "./grpc-count.ts";
import { LOAD_CLIENTS, loadDuring } from "./load.ts";
import { order } from "./order.ts";
import type { OrderResult, Route } from "./order.ts";
import { services } from "./shop.ts";
import type { Shop } from "./shop.ts";
import { note, say, paint, traceCheck, traceCount, traceHead, traceOrder } from "./trace.ts";

const baseline: Route = { front: "baseline", checkout: "baseline", pricing: "baseline", recommend: "baseline" };
/** Instances of checkout, the only caller of pricing. */
const CHECKOUTS = 2;
const nobody: Route = { front: "", checkout: "", pricing: "", recommend: "" };

/** One order and everything that must be true of its answer. */
interface Step {
  readonly baggage: string | undefined;
  readonly why: string;
  readonly status: number;
  readonly route: Route;
  readonly cents: number;
  readonly giftWrap: boolean;
  readonly recommended: string;
  /** What `x-sidelane-route` of the front's sidecar says before the table's version. */
  readonly decision: string;
  readonly reason: string;
}

const plain: Omit<Step, "why"> = {
  baggage: undefined,
  status: 200,
  route: baseline,
  cents: 420,
  giftWrap: false,
  recommended: "honey",
  decision: "front=baseline;reason=not-in-sandbox",
  reason: "",
};

const unavailable: Omit<Step, "why"> = {
  ...plain,
  status: 503,
  route: nobody,
  cents: 0,
  recommended: "",
  reason: "sandbox-unavailable",
};

const steps: readonly Step[] = [
  { ...plain, why: "no key: the baseline of every service", decision: "front=baseline;reason=no-key" },
  {
    ...plain,
    baggage: "sidelane=pr-7",
    why: "sandbox pr-7 has a checkout of its own; everything else is shared",
    route: { ...baseline, checkout: "pr-7" },
    giftWrap: true,
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
    ...plain,
    baggage: "user=ada,sidelane=release-42",
    why: "the group release-42 selects both, wherever the key stands in the baggage",
    route: { ...baseline, checkout: "pr-7", pricing: "pr-9" },
    cents: 378,
    giftWrap: true,
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

/** Runs the whole scenario, printing as it goes. Returns what differed from what must be; empty: all as it should. */
export async function runScenario(shop: Shop): Promise<readonly string[]> {
  const problems: string[] = [];
  traceHead();
  for (const step of steps) await runStep(shop, step, problems);
  await editUnderLoad(shop, problems);
  await checkSharing(shop, problems);
  await crashAndReturn(shop, problems);
  return problems;
}

async function runStep(shop: Shop, step: Step, problems: string[]): Promise<void> {
  const result = await order(shop.entrance, step.baggage);
  const differences = compare(step, result);
  const label = step.baggage ?? "(none)";
  traceOrder(differences.length === 0, label, result);
  note(step.why);
  if (step.decision.endsWith("unknown-key")) note(`x-sidelane-route: ${result.decision}`);
  problems.push(...differences.map((difference) => `baggage ${label}: ${difference}`));
}

function compare(step: Step, result: OrderResult): string[] {
  const differences: string[] = [];
  const expect = (what: string, wanted: string | number | boolean, got: string | number | boolean): void => {
    if (wanted !== got) differences.push(`${what} should be '${wanted}' and is '${got}'`);
  };
  if (step.status !== result.status) {
    // Everything else follows from it; the answer itself says more.
    return [`status should be ${step.status} and is ${result.status} ${result.reason}: ${result.detail}`];
  }
  for (const service of services) expect(`instance of ${service}`, step.route[service], result.route[service]);
  expect("price", step.cents, result.cents);
  expect("gift wrap", step.giftWrap, result.giftWrap);
  expect("recommendation", step.recommended, result.recommended);
  expect("decision", step.decision, result.decision.replace(/;table=[^;]*$/, ""));
  expect("reason", step.reason, result.reason);
  return differences;
}

/** pr-9 leaves the group while clients order with it: no order fails, and each is answered by the table of its moment. */
async function editUnderLoad(shop: Shop, problems: string[]): Promise<void> {
  say();
  say(
    paint("bold", `    ${LOAD_CLIENTS} clients order with sidelane=release-42 while pr-9 is edited out of the group`),
  );
  let editMs = 0;
  const report = await loadDuring(shop.entrance, "sidelane=release-42", async () => {
    editMs = await shop.edit(["pr-7"]);
  });

  const oldRoute: Route = { ...baseline, checkout: "pr-7", pricing: "pr-9" };
  const newRoute: Route = { ...baseline, checkout: "pr-7" };
  const allowed = { before: [oldRoute], during: [oldRoute, newRoute], after: [newRoute] };
  const labels = { before: "before the edit", during: "in that moment", after: "after the edit" };
  for (const { phase, route, count } of report.routes) {
    const ok = allowed[phase].some((wanted) => services.every((service) => wanted[service] === route[service]));
    traceCount(ok, labels[phase], route, count);
    if (!ok) problems.push(`${labels[phase]} ${count} orders went ${Object.values(route).join(", ")}`);
  }
  for (const phase of ["before", "after"] as const) {
    if (!report.routes.some((entry) => entry.phase === phase)) problems.push(`no order was answered ${labels[phase]}`);
  }

  const lost = report.sent - report.answered;
  traceCheck(
    lost === 0 && report.failures.length === 0,
    `${report.sent} sent, ${report.answered} answered, ${report.failures.length} failed; ` +
      `every sidecar had the new table ${Math.ceil(editMs)} ms after the file was written`,
  );
  if (lost > 0) problems.push(`${lost} orders got no answer during the table edit`);
  for (const failure of new Set(report.failures)) problems.push(`an order failed during the table edit: ${failure}`);
}

/** All orders shared one gRPC connection for each caller: a key chooses for its call, not for the connection. */
async function checkSharing(shop: Shop, problems: string[]): Promise<void> {
  const { connections, calls } = await countGrpc(shop.admin("pricing"));
  const [toBaseline = 0, toSandbox = 0] = ["baseline", "pr-9"].map((destination) => calls.get(destination));
  const ok = connections === CHECKOUTS && toBaseline > 0 && toSandbox > 0;
  const text =
    `gRPC calls on ${connections} connections, one from each checkout, went their own ways: ` +
    `${toBaseline} to the baseline of pricing, ${toSandbox} to pr-9`;
  traceCheck(ok, text);
  if (!ok) problems.push(text);
}

/** A sandbox that is gone is an error, not silently the baseline; when it comes back elsewhere, an edit is enough. */
async function crashAndReturn(shop: Shop, problems: string[]): Promise<void> {
  say();
  say(paint("bold", "    the machines of pr-9 and pr-11 die, and come back at other addresses"));
  await Promise.all([shop.crash("pr-9"), shop.crash("pr-11")]);
  await runStep(
    shop,
    {
      ...unavailable,
      baggage: "sidelane=pr-9",
      why: "an error with its reason, to checkout as a gRPC status: the baseline instead would look like a passing test",
    },
    problems,
  );
  await runStep(
    shop,
    {
      ...unavailable,
      baggage: "sidelane=pr-11",
      why: "the same answer to the handshake of a WebSocket",
    },
    problems,
  );
  await runStep(
    shop,
    {
      ...plain,
      baggage: "sidelane=pr-7",
      why: "nobody else notices",
      route: { ...baseline, checkout: "pr-7" },
      giftWrap: true,
    },
    problems,
  );
  await Promise.all([shop.revive("pr-9"), shop.revive("pr-11")]);
  await shop.edit(["pr-7", "pr-9"]);
  await runStep(
    shop,
    {
      ...plain,
      baggage: "sidelane=release-42",
      why: "one edit of the table, and pr-9 is back, in the group too",
      route: { ...baseline, checkout: "pr-7", pricing: "pr-9" },
      cents: 378,
      giftWrap: true,
    },
    problems,
  );
  await runStep(
    shop,
    {
      ...plain,
      baggage: "sidelane=pr-11",
      why: "and so is pr-11",
      route: { ...baseline, recommend: "pr-11" },
      recommended: "lemon",
    },
    problems,
  );
}
