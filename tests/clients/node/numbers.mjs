// How the web client's field reads phone numbers, and what the SDK tells the server of them.
//
// Arguments: the folders of the web client and of the SDK. Standard input: JSON, `[[text, region], …]`. Standard output:
// JSON, `[[what the field reads, what the SDK sends], …]`.

import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const [client, sdk] = process.argv.slice(2);
const { read } = await import(pathToFileURL(`${client}/phone.js`).href);
const { Duologue, memoryStore } = await import(pathToFileURL(`${sdk}/duologue.js`).href);

let sent;
globalThis.fetch = async (_, { body }) => {
  sent = JSON.parse(body).phone;
  return new Response("{}", { headers: { "Content-Type": "application/json" } });
};
const duologue = new Duologue({ url: "http://127.0.0.1:9", store: memoryStore() });

const found = [];
for (const [written, region] of JSON.parse(await text(process.stdin))) {
  await duologue.openChat(written);
  found.push([read(written, region).phone, sent]);
}
console.log(JSON.stringify(found));
