// The nightly job: a process that no request has called to life, so there is no key that it could pass on, and no tracing
// either. It orders for tomorrow, tells how that went, and is done. HTTP_PROXY names the outbound listener of its sidecar.

import http from "node:http";
import { text } from "node:stream/consumers";
import { endWithParent } from "../end-with-parent.ts";

endWithParent(process.argv[2]);

http.get("http://front/order?item=tea", (answer) => {
  void text(answer).then((body) => process.send?.({ kind: "report", status: answer.statusCode, body }));
});
