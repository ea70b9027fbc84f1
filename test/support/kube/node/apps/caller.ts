// A job: asks URL once, with the baggage of BAGGAGE if there is one, says what it was told, and ends.
import { get } from "node:http";

const { URL: url = "", BAGGAGE = "" } = process.env;

get(url, { agent: false, headers: BAGGAGE === "" ? {} : { baggage: BAGGAGE } }, (answer) => {
  answer.pipe(process.stdout);
  answer.once("end", () => (process.exitCode = answer.statusCode === 200 ? 0 : 1));
}).once("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
