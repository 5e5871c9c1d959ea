// What a supabase-js user does with Realtime, told as one JSON report on standard output.
// node realtime_client.mjs <folder with node_modules> <json: url, key, token, topic, other, vsn>
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, settings] = process.argv.slice(2);
const { url, key, token, topic, other, vsn } = JSON.parse(settings);
const { createClient } = createRequire(join(folder, "package.json"))("@supabase/supabase-js");

const report = {};

async function connect() {
  const client = createClient(url, key, {
    accessToken: async () => token,
    realtime: { vsn },
  });
  await client.realtime.setAuth();
  return client;
}

function channelOf(client, name, config) {
  return client.channel(name, { config: { private: true, ...config } });
}

function subscribed(channel) {
  return new Promise((resolve) =>
    channel.subscribe((status, error) => resolve({ status, error: error?.message })),
  );
}

function received(channel, event) {
  return new Promise((resolve) => channel.on("broadcast", { event }, resolve));
}

const alice = await connect();
const bob = await connect();
const aliceChannel = channelOf(alice, topic, { broadcast: { ack: true, self: true } });
const bobChannel = channelOf(bob, topic, { presence: { key: "bob" } });

const own = received(aliceChannel, "said");
const heard = received(bobChannel, "said");
const posted = received(bobChannel, "posted");
const raw = received(bobChannel, "raw");
const present = new Promise((resolve) =>
  bobChannel.on("presence", { event: "join" }, ({ key }) => resolve(key)),
);

report.alice = await subscribed(aliceChannel);
report.bob = await subscribed(bobChannel);
report.sent = await aliceChannel.send({ type: "broadcast", event: "said", payload: { n: 1 } });
report.own = (await own).payload;
report.heard = (await heard).payload;
report.httpSend = await aliceChannel.httpSend("posted", { n: 2 });
report.posted = (await posted).payload;
if (vsn === "2.0.0") {
  const bytes = new Uint8Array([0, 255, 7]).buffer;
  await aliceChannel.send({ type: "broadcast", event: "raw", payload: bytes });
  report.raw = [...new Uint8Array((await raw).payload)];
}
report.tracked = await bobChannel.track({ mood: "fine" });
report.present = await present;
report.foreign = await subscribed(channelOf(alice, other, {}));
report.left = await bobChannel.unsubscribe();

console.log(JSON.stringify(report));
process.exit(0);
