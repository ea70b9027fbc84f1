// Entry of one service of the shop in a container of its own, listening on port 8080. Its environment says who it is and where
// the others are: SERVICE, INSTANCE, CHECKOUT_URL, PRICING_ADDRESS. Nothing of it has to do with Sidelane.

import { serveService } from "./serve-service.ts";

// The first process of a container is not ended by a signal that it does not handle.
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(0));

const port = await serveService({ host: "0.0.0.0", port: 8080 });
console.log(`${process.env["SERVICE"]} listens on port ${port}`);
