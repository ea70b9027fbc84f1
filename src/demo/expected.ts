import type { OrderResult, Route } from "./order.ts";
import { services } from "./shop-plan.ts";

/** What must be true of the answer to an order. */
export interface Expected {
  readonly status: number;
  readonly route: Route;
  readonly cents: number;
  readonly giftWrap: boolean;
  readonly recommended: string;
  /** What `x-sidelane-route` of the first sidecar says before the table's version. */
  readonly decision: string;
  readonly reason: string;
}

/** Every service's shared instance. */
export const baseline: Route = { front: "baseline", checkout: "baseline", pricing: "baseline", recommend: "baseline" };
/** No instance of anything. */
const nobody: Route = { front: "", checkout: "", pricing: "", recommend: "" };

/** The answer of the baseline to a request with a key. */
export const plain: Expected = {
  status: 200,
  route: baseline,
  cents: 420,
  giftWrap: false,
  recommended: "honey",
  decision: "front=baseline;reason=not-in-sandbox",
  reason: "",
};

/** The answer with a checkout that has been changed in pr-7. */
export const giftWrapped: Expected = { ...plain, route: { ...baseline, checkout: "pr-7" }, giftWrap: true };

/** The answer of `release-42`, which is pr-7 and pr-9. */
export const release42: Expected = {
  ...giftWrapped,
  route: { ...baseline, checkout: "pr-7", pricing: "pr-9" },
  cents: 378,
};

/** Nobody's answer, but the refusal of a sidecar. */
export const refused: Expected = { ...plain, status: 503, route: nobody, cents: 0, recommended: "" };

/** What differs, one line each. */
export function compare(expected: Expected, result: OrderResult): string[] {
  const differences: string[] = [];
  const expect = (what: string, wanted: string | number | boolean, got: string | number | boolean): void => {
    if (wanted !== got) differences.push(`${what} should be '${wanted}' and is '${got}'`);
  };
  if (expected.status !== result.status) {
    // Everything else follows from it; the answer itself says more.
    return [`status should be ${expected.status} and is ${result.status} ${result.reason}: ${result.detail}`];
  }
  for (const service of services) expect(`instance of ${service}`, expected.route[service], result.route[service]);
  expect("price", expected.cents, result.cents);
  expect("gift wrap", expected.giftWrap, result.giftWrap);
  expect("recommendation", expected.recommended, result.recommended);
  expect("decision", expected.decision, result.decision.replace(/;table=[^;]*$/, ""));
  expect("reason", expected.reason, result.reason);
  return differences;
}
