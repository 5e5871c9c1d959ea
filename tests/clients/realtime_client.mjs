// What a supabase-js user does with Realtime, printed as one JSON report on standard output.
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
const aliceChannel = channelOf(alice, topic, { broadcast: { ack: true } });
const bobChannel = channelOf(bob, topic, {});

const said = received(bobChannel, "said");
const posted = received(bobChannel, "posted");

report.alice = await subscribed(aliceChannel);
report.bob = await subscribed(bobChannel);
report.sent = await aliceChannel.send({ type: "broadcast", event: "said", payload: { n: 1 } });
report.received = (await said).payload;
report.httpSend = await aliceChannel.httpSend("posted", { n: 2 });
report.posted = (await posted).payload;
report.foreign = await subscribed(channelOf(alice, other, {}));
report.left = await bobChannel.unsubscribe();

console.log(JSON.stringify(report));
process.exit(0);
