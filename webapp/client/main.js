// The client: whoever is signed in sees their chats, anybody else signs in.

import { Chats } from "./chats.js";
import { t } from "./i18n.js";
import { Model } from "./model.js";
import { toast } from "./overlay.js";
import { Duologue, indexedDbStore } from "./sdk.js";
import { rememberWhy, signIn } from "./signin.js";
import "./theme.js";

const root = /** @type {Element} */ (document.getElementById("app"));
const store = indexedDbStore("duologue");
const duologue = new Duologue({ store });

/** Run the client from a sign-in to the sign-out. */
async function run() {
  if (!(await duologue.restore())) await signIn(duologue, root);
  const model = new Model(duologue, store);
  await model.restore();
  const chats = new Chats({ duologue, model, limits: askLimits() }, root);
  duologue.connect();
  const { reason } = await new Promise((done) => duologue.on("signed_out", done));
  chats.leave();
  // Messages that wait to be sent are kept for their author; copies of what was shown are deleted.
  await store.clear("cache/");
  rememberWhy(reason);
  location.reload(); // nothing of theirs is left in this page
}

/** The server's limits: empty until it has told them. */
function askLimits() {
  /** @type {Record<string, number>} */
  const limits = {};
  duologue.server().then(
    (server) => Object.assign(limits, server.limits),
    () => {},
  );
  return limits;
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
