// Loaded into a process (`node --import`) that runs outside of any cluster: names of Services, `*.svc` and below, lead to the
// address in SIDELANE_TEST_SERVICES. The test sets it for processes of its own only.
import dns from "node:dns";

const address = process.env["SIDELANE_TEST_SERVICES"] ?? "";
const lookup = dns.lookup;

type Answer = (error: Error | null, address: string | readonly dns.LookupAddress[], family?: number) => void;

function answerServices(name: string, ...rest: readonly unknown[]): void {
  if (!/\.svc(?:\.|$)/u.test(name)) {
    Reflect.apply(lookup, dns, [name, ...rest]);
    return;
  }
  const answer = rest.at(-1) as Answer;
  const options = rest[0] as { readonly all?: boolean } | number | Answer;
  const all = typeof options === "object" && options.all === true;
  process.nextTick(() => (all ? answer(null, [{ address, family: 4 }]) : answer(null, address, 4)));
}

dns.lookup = Object.assign(answerServices, { __promisify__: lookup.__promisify__ });
