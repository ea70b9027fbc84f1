// Attack: a client names end-to-end fields in Connection (`Connection: baggage, host, content-length`) so that the proxy
// strips them on the way: the routing key, the framing, the address or credentials another party relies on. RFC 9110
// §7.6.1 forbids such options; they are not obeyed.
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("fields that Connection cannot take away", (mode) => {
  test("routing, framing, identity and credentials stay", async () => {
    const { client, backend } = await startTrio({ ...mode, tenancy: { carriers: [{ header: "x-sandbox" }] } });
    const fields = [
      "Host: checkout",
      "baggage: sidelane=pr-7",
      "X-Sandbox: pr-7",
      "X-Forwarded-For: 10.1.2.3",
      "Authorization: Bearer x",
      "Content-Length: 2",
    ];
    client.send(
      `POST / HTTP/1.1\r\n${fields.join("\r\n")}\r\nConnection: host, baggage, x-sandbox, x-forwarded-for, authorization, content-length, x-mine\r\nX-Mine: 1\r\n\r\nhi`,
    );
    const { request } = await backend.request();
    expect(request.lines.filter((line) => !line.startsWith("via: "))).toEqual(fields);
    expect(request.body).toBe("hi");
  });
});
