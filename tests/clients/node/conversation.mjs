// A conversation of two people by Node's own fetch, and by its WebSocket where it has one (Node 22 and newer; from
// 20.10 on with --experimental-websocket).
//
// Arguments: the server's base URL and two phone numbers in E.164 form.

import assert from "node:assert/strict";

const [base, anasPhone, bensPhone] = process.argv.slice(2);

const ok = (step) => console.log(`OK ${step}`);

function open(token, method, path, body) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  return fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
}

async function ask(status, token, method, path, body) {
  const response = await open(token, method, path, body);
  const text = await response.text();
  assert.equal(response.status, status, `${method} ${path} was answered by ${response.status} ${text}`);
  return { headers: response.headers, text, body: text ? JSON.parse(text) : undefined };
}

async function signIn(phone) {
  return (await ask(201, "", "POST", "/v1/sessions", { phone })).body.token;
}

function send(token, chat, text) {
  return ask(201, token, "POST", `/v1/chats/${chat}/messages`, { text, client_id: text });
}

async function page(ana, chat) {
  await send(ana, chat, "node-2");
  await send(ana, chat, "node-3");
  const newest = (await ask(200, ana, "GET", `/v1/chats/${chat}/messages?limit=2`)).body;
  assert.deepEqual(
    newest.items.map((message) => message.seq),
    [2, 3],
  );
  assert.equal(newest.has_more_before, true);
  const oldest = (await ask(200, ana, "GET", `/v1/chats/${chat}/messages?limit=2&before=2`)).body;
  assert.deepEqual(
    oldest.items.map((message) => message.text),
    ["Hello Ben"],
  );
  assert.equal(oldest.has_more_before, false);
}

async function longPoll(ana, ben, chat) {
  const latest = (await ask(200, ben, "GET", "/v1/events?limit=500")).body.next;
  const waiting = ask(200, ben, "GET", `/v1/events?wait=20&after=${latest}`);
  await send(ana, chat, "node-poll");
  const [event] = (await waiting).body.items;
  assert.equal(event.type, "message.created");
  assert.equal(event.data.text, "node-poll");
}

async function* linesOf(stream) {
  let rest = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function until(lines, wanted) {
  for (let next = await lines.next(); next.value !== wanted; next = await lines.next()) {
    assert.equal(next.done, false, `the stream ended before: ${wanted}`);
  }
}

async function stream(ana, ben, chat) {
  const response = await open(ben, "GET", "/v1/events/stream");
  assert.equal(response.status, 200);
  const lines = linesOf(response.body);
  await until(lines, "event: ready");
  await send(ana, chat, "node-stream");
  await until(lines, "event: message.created");
  const event = JSON.parse((await lines.next()).value.replace(/^data: /, ""));
  assert.equal(event.data.text, "node-stream");
  await lines.return();
}

async function socket(ana, ben, chat) {
  const frames = [];
  let wake = () => {};
  const opened = new WebSocket(`${base.replace(/^http/, "ws")}/v1/socket`, "duologue.v1");
  const take = (frame) => {
    frames.push(frame);
    wake();
  };
  opened.onmessage = ({ data }) => take(JSON.parse(data));
  opened.onclose = ({ code }) => take({ op: "close", code });
  const next = async (op) => {
    for (;;) {
      const frame = frames.shift();
      if (frame?.op === op) return frame;
      if (frame) assert.ok(!["error", "close"].includes(frame.op), JSON.stringify(frame));
      else await new Promise((resolve) => (wake = resolve));
    }
  };
  await new Promise((resolve, reject) => Object.assign(opened, { onopen: resolve, onerror: reject }));
  opened.send(JSON.stringify({ op: "hello", token: ben }));
  await next("ready");
  await send(ana, chat, "node-event");
  assert.equal((await next("event")).data.text, "node-event");
  opened.send(JSON.stringify({ op: "send", chat_id: chat, text: "Hello Ana", client_id: "node-socket" }));
  assert.equal((await next("sent")).message.text, "Hello Ana");
  opened.close(1000);
  assert.equal((await next("close")).code, 1000);
}

const ana = await signIn(anasPhone);
const ben = await signIn(bensPhone);
ok("sign in");

const hello = { to: bensPhone, text: "Hello Ben", client_id: "node-1" };
const first = (await ask(201, ana, "POST", "/v1/messages", hello)).body;
assert.equal(first.seq, 1);
const chat = first.chat_id;
ok("send");

const again = await ask(200, ana, "POST", "/v1/messages", hello);
assert.equal(again.headers.get("Idempotent-Replayed"), "true");
assert.deepEqual(again.body, first);
ok("repeat");

assert.equal((await ask(200, ben, "GET", "/v1/chats")).body.items[0].unread, 1);
ok("list chats");

await page(ana, chat);
ok("page");

await ask(204, ben, "PUT", `/v1/chats/${chat}/read`, { seq: 3 });
assert.equal((await ask(200, ana, "GET", `/v1/chats/${chat}/messages?after=2`)).body.items[0].status, "read");
ok("mark read");

await longPoll(ana, ben, chat);
ok("long poll");
await stream(ana, ben, chat);
ok("stream");
if (typeof WebSocket === "function") {
  await socket(ana, ben, chat);
  ok("socket");
}

assert.equal((await ask(200, ben, "HEAD", "/v1/me")).text, "");
ok("head");

await ask(204, ben, "DELETE", "/v1/sessions/current");
assert.equal((await ask(401, ben, "GET", "/v1/me")).body.code, "not_signed_in");
ok("sign out");
