import { expect, test } from "vitest";
import { frame, types } from "../support/http2-frames.ts";
import { post, get, exchange, startHttp2Trio } from "../support/http2-sidecar.ts";
import { bodyBlocks } from "../support/stream.ts";
import { memoryGrowth, untilQuiet } from "../support/quiet.ts";
test("pin", async () => { const trio = await startHttp2Trio();
  const { client } = trio;
  const {asked, got} = await exchange(trio);
  asked.allow(2**30); client.allow(0,2**30); await client.settled();
  client.socket.pause();
  got.head([[":status","200"]]);
  void got.pour(bodyBlocks(50_000_000)).catch(()=>{});
  await untilQuiet(()=>got.bytesSent);
  console.log("sent", got.bytesSent);
  const growth = memoryGrowth();
  for (let n=0;n<900;n++) { client.send(frame(types.ping,0,0,Buffer.alloc(8))); await new Promise(r=>setImmediate(()=>setImmediate(r))); }
  await new Promise(r=>setTimeout(r,200));
  console.log("growth", growth()/1e6);
  for (let n=0;n<20;n++) { got.peer.socket; client.request(get()); }
  client.abort();
});
test("negative window end", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio; client.credit="connection";
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]).data("x".repeat(5000));
    await asked.received(5000);
    client.configure([4, 100]);
    await client.settled();
    console.log(asked.receiveWindow);
    got.end();
    await asked.over();
    console.log(asked.ended, asked.resetCode, client.goaways, client.describe());
});
