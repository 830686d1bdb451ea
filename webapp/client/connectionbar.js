// The state of the connection, in words. Interruptions that end within a moment aren't shown.

import { h } from "./dom.js";
import { t } from "./i18n.js";

/** @typedef {import("./sdk.js").Duologue} Duologue */

const CALM = 1500; // milliseconds: shorter interruptions aren't shown
const AT_ONCE = ["waiting", "ended", "live"]; // states that are shown without waiting

/** @param {Duologue} duologue @param {import("./model.js").Model} model @param {AbortSignal} signal */
export function connectionBar(duologue, model, signal) {
  const words = h("span", {});
  const button = h("button", { type: "button", class: "link", onclick: () => duologue.connect() }, t("retry_now"));
  const bar = h("div", { class: "connection", role: "status", hidden: true }, words, button);
  const show = () => {
    const { state } = duologue;
    bar.dataset.state = state;
    // While it connects again, the words go on to say that there is no connection.
    if (state !== "connecting" || !words.textContent) words.textContent = wordsFor(duologue);
    button.hidden = state !== "ended" && state !== "waiting";
    bar.hidden = words.textContent === "";
  };
  let timer = 0;
  const changed = () => {
    clearTimeout(timer);
    if (AT_ONCE.includes(duologue.state)) show();
    else timer = window.setTimeout(show, CALM);
  };
  model.addEventListener("connection", changed, { signal });
  return bar;
}

/** @param {Duologue} duologue */
function wordsFor({ state, closeCode }) {
  const words = {
    stopped: "",
    live: "",
    connecting: t("connecting"),
    catching_up: t("updating"),
    waiting: t("wait_to_send"),
    ended: t("connection_ended", { code: closeCode }),
  };
  return words[state];
}
