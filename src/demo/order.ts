import { failureReasons } from "../base/reasons.ts";
import type { FrontOrder } from "./services/front.ts";
import { services } from "./shop-plan.ts";
import type { Service } from "./shop-plan.ts";

/** Long enough for a cold start, short enough that a hang is an error. */
const ORDER_MS = 10_000;

/** Which instance of each service answered; "" where none did. */
export type Route = Readonly<Record<Service, string>>;

/** What came back for one order. */
export interface OrderResult {
  /** HTTP status. */
  readonly status: number;
  readonly route: Route;
  readonly cents: number;
  readonly giftWrap: boolean;
  /** What goes best with it, "" when nobody said. */
  readonly recommended: string;
  /** `x-sidelane-route` of the first sidecar, "" when not asked for. */
  readonly decision: string;
  /** `reason` and `detail` of Sidelane's own answer, "" when an app answered. */
  readonly reason: string;
  readonly detail: string;
}

/** What an order says beside what is ordered. */
export type OrderHeaders = Readonly<Partial<Record<"baggage" | "cookie" | "traceparent", string>>>;

/** Orders as a browser would: one request to whoever listens there. Rejects when no answer came. */
export async function order(address: string, headers: OrderHeaders, path = "/order?item=tea"): Promise<OrderResult> {
  const answer = await fetch(`http://${address}${path}`, {
    headers: { "x-sidelane-debug": "1", ...headers },
    signal: AbortSignal.timeout(ORDER_MS),
  });
  return readOrder(answer.status, await answer.text(), answer.headers.get("x-sidelane-route") ?? "");
}

/** Reads what came back. */
export function readOrder(status: number, body: string, decision: string): OrderResult {
  const fields = parseObject(body);
  const { hops = [], recommended } = fields as Partial<FrontOrder>;
  const instanceOf = (service: Service): string =>
    hops
      .filter((hop) => hop.service === service)
      .map((hop) => hop.instance)
      .join("+");
  const detail = String(fields["detail"] ?? (hops.length === 0 ? body.trim() : ""));
  return {
    status,
    route: Object.fromEntries(services.map((service) => [service, instanceOf(service)])) as Record<Service, string>,
    cents: Number(fields["cents"] ?? 0),
    giftWrap: fields["giftWrap"] === true,
    recommended: recommended?.[0] ?? "",
    decision,
    reason: String(fields["reason"] ?? reasonInGrpcMessage(detail)),
    detail,
  };
}

function parseObject(body: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** To a gRPC caller Sidelane says the reason, and then the detail; "" when somebody else said it. */
function reasonInGrpcMessage(message: string): string {
  const [reason = ""] = message.split(": ", 1);
  return reason in failureReasons ? reason : "";
}
