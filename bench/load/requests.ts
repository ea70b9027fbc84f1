// The requests that every party of the bench gets, and the answers of the two backends: one definition for the load
// generator, the check before it and the allocation budget.

/** The rule that every proxy under test has: this exact baggage member goes to the sandbox, everything else to the baseline. */
export const routingMember = { name: "sidelane", value: "pr-7" } as const;

/** Which of the two backends has to answer. */
export type Destination = "baseline" | "sandbox";

/** Name of the response header in which a backend says which of the two it is. */
export const backendHeader = "X-Backend";

/**
 * A request head as an instrumented service behind an ingress sends it: about 630 bytes, 12 fields.
 *
 * @param baggage the value of the baggage field, or `undefined` for a request without the field.
 */
export function requestHead(baggage: string | undefined): string {
  const lines = [
    "GET /api/v1/orders/4711?expand=lines,customer HTTP/1.1",
    "Host: checkout.shop.svc.cluster.local",
    "User-Agent: storefront/3.14.1 (linux; node v24)",
    "Accept: application/json, text/plain;q=0.9",
    "Accept-Encoding: gzip, br",
    "Accept-Language: en-GB,en;q=0.8",
    "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjdXN0b21lci00NzExIn0.c2lnbmF0dXJl",
    "X-Request-Id: 5f0c3b52-2c1d-4b8e-9f0a-6d1d0e7f4a11",
    "X-Forwarded-For: 203.0.113.17",
    "X-Forwarded-Proto: https",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate: vendor=t61rcWkgMzE,other=00f067aa0ba902b7",
  ];
  if (baggage !== undefined) lines.push(`baggage: ${baggage}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** The routing member among others, as requests of the load carry it. */
export const sandboxBaggage = `user.tier=gold,${routingMember.name}=${routingMember.value},session.id=8f3a2c`;

/** The load: half of the requests carry the key. Both values have the same length, so that both cost the same to send. */
export const loadBaggage: { readonly [destination in Destination]: string } = {
  sandbox: sandboxBaggage,
  baseline: "user.tier=gold,region=eu-1-a,session.id=8f3a2c",
};
export const loadHeads: { readonly [destination in Destination]: string } = {
  sandbox: requestHead(loadBaggage.sandbox),
  baseline: requestHead(loadBaggage.baseline),
};

/** What has to be true of a proxy before it is measured: the member is matched exactly, never as a substring. */
export const routingCases: readonly { readonly baggage: string | undefined; readonly goesTo: Destination }[] = [
  { baggage: undefined, goesTo: "baseline" },
  { baggage: "user.tier=gold,region=eu-1", goesTo: "baseline" },
  { baggage: "sidelane=pr-7", goesTo: "sandbox" },
  { baggage: "user.tier=gold, sidelane=pr-7;ttl=60, session.id=8f3a2c", goesTo: "sandbox" },
  { baggage: "user.tier=gold,sidelane=pr-77,session.id=8f3a2c", goesTo: "baseline" },
  { baggage: "user.tier=gold,notsidelane=pr-7", goesTo: "baseline" },
  { baggage: "user.tier=sidelane=pr-7", goesTo: "baseline" },
];

/** The body of a backend's answer; the same length for both, so that the bytes of a run can be checked. */
export function backendBody(destination: Destination): string {
  const answer = { instance: destination.padEnd(8, "-"), order: 4711, state: "paid", lines: 3, total: "129.90 EUR" };
  return JSON.stringify(answer);
}

/** The same answer as bytes on the wire, for backends that are not nginx. */
export function backendResponse(destination: Destination): string {
  const body = backendBody(destination);
  return [
    "HTTP/1.1 200 OK",
    "Server: backend",
    "Date: Mon, 23 Nov 2026 10:00:00 GMT",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Cache-Control: private, max-age=0",
    `${backendHeader}: ${destination.padEnd(8, "-")}`,
    "",
    body,
  ].join("\r\n");
}
