// The client: whoever is signed in sees their chats, anybody else signs in.

import { Duologue, indexedDbStore } from "../sdk/duologue.js";
import { chatList } from "./chatlist.js";
import { conversation } from "./conversation.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { Model } from "./model.js";
import { newChat } from "./newchat.js";
import { tellNews } from "./notices.js";
import { toast } from "./overlay.js";
import { showSettings } from "./settings.js";
import { rememberWhy, signIn } from "./signin.js";
import "./theme.js";

const WATCHED = 100; // peers whose presence is shown
const CALM = 1500; // milliseconds: shorter interruptions aren't worth a word

const root = /** @type {Element} */ (document.getElementById("app"));
const store = indexedDbStore("duologue");
const duologue = new Duologue({ store });

/** Once for each who signs in. */
async function run() {
  if (!(await duologue.restore())) await signIn(duologue, root);
  const model = new Model(duologue, store);
  const end = new AbortController();
  await model.restore();
  /** @type {Record<string, number>} */
  const limits = {};
  duologue.server().then(
    (server) => Object.assign(limits, server.limits),
    () => {},
  );
  const leave = showChats(model, limits, end.signal);
  duologue.connect();
  const { reason } = await new Promise((done) => duologue.on("signed_out", done));
  end.abort();
  leave();
  // What wasn't sent yet waits for its author; what was shown doesn't.
  await store.clear("cache/");
  rememberWhy(reason);
  location.reload(); // nothing of theirs is left in this page
}

/** @param {Model} model @param {Record<string, number>} limits @param {AbortSignal} signal */
function showChats(model, limits, signal) {
  /** @type {ReturnType<typeof conversation> | null} */
  let open = null;
  const go = (/** @type {string} */ chatId) => {
    location.hash = chatId;
  };
  const list = chatList(model, { newChat: () => newChat(model, go), settings: () => showSettings(duologue, model) });
  const place = h("div", { class: "place" });
  const frame = h("main", { class: "frame" }, list.element, place);
  fill(root, connectionBar(model, signal), frame);

  let shown = "";
  function show() {
    const chatId = location.hash.slice(1);
    const known = model.chats.has(chatId) ? chatId : "";
    if (known === shown && place.firstChild) return;
    open?.leave();
    shown = known;
    open = known ? conversation({ duologue, model, limits }, known) : null;
    fill(place, open ? open.element : h("p", { class: "nothing" }, t("no_chat")));
    frame.classList.toggle("chatting", open !== null);
    list.select(known);
    if (open && matchMedia("(pointer: fine)").matches) open.focus();
  }

  let watched = "";
  function watch() {
    const peers = model.sorted.slice(0, WATCHED).map(({ peer }) => peer);
    // A peer who has just answered may be watched from now on.
    const wanted = peers.map(({ id, registered }) => `${id} ${registered}`).join();
    if (wanted === watched) return;
    watched = wanted;
    duologue.watch(peers.map(({ id }) => id));
  }

  const keys = (/** @type {KeyboardEvent} */ event) => {
    const isTaken = event.target instanceof HTMLInputElement || document.querySelector("dialog, .menu");
    if (event.key === "Escape" && !isTaken) location.hash = "";
    if (event.key === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      list.searchFor();
    }
  };
  window.addEventListener("hashchange", show, { signal });
  window.addEventListener("keydown", keys, { signal });
  model.addEventListener("chats", show, { signal });
  model.addEventListener("chats", watch, { signal });
  tellNews(model, go, signal);
  show();
  return () => open?.leave();
}

/** The truth about the connection, once it has lasted for a moment. @param {Model} model @param {AbortSignal} signal */
function connectionBar(model, signal) {
  const words = h("span", {});
  const button = h("button", { type: "button", class: "link", onclick: () => duologue.connect() }, t("retry_now"));
  const bar = h("div", { class: "connection", role: "status", hidden: true }, words, button);
  let timer = 0;

  function show() {
    const { state } = duologue;
    bar.dataset.state = state;
    const text = {
      stopped: "",
      live: "",
      connecting: t("connecting"),
      catching_up: t("updating"),
      waiting: t("wait_to_send"),
      ended: t("connection_ended", { code: duologue.closeCode }),
    };
    // While it is tried again it is still not there.
    if (state !== "connecting" || !words.textContent) words.textContent = text[state];
    button.hidden = state !== "ended" && state !== "waiting";
    bar.hidden = words.textContent === "";
  }
  const changed = () => {
    clearTimeout(timer);
    if (duologue.state === "waiting" || duologue.state === "ended" || duologue.state === "live") show();
    else timer = window.setTimeout(show, CALM);
  };
  model.addEventListener("connection", changed, { signal });
  return bar;
}

/** Keep the page on this device, and say when there is a newer one. */
async function keepPage() {
  if (!navigator.serviceWorker) return;
  const known = navigator.serviceWorker.controller;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (known) toast(t("new_version"), { label: t("reload"), act: () => location.reload() });
  });
  const url = "/worker.js";
  const { trustedTypes } = /** @type {any} */ (window); // unknown to TypeScript's own types of the DOM
  const policy = trustedTypes?.createPolicy("duologue", { createScriptURL: () => url });
  await navigator.serviceWorker.register(/** @type {string} */ (policy?.createScriptURL(url) ?? url), { scope: "/" });
}

keepPage().catch(() => {}); // a private window has none; all else works
await run();
