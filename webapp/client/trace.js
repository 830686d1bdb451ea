// Where is my message? Every step that the server knows of, with its time.

import { fill, h } from "./dom.js";
import { secondsTime, t } from "./i18n.js";
import { openDialog, reasonOf } from "./overlay.js";
import { preview } from "./text.js";

/** @typedef {Parameters<typeof t>[0]} Key */

const HOPS = new Set([
  "accepted",
  "committed",
  "pushed",
  "acknowledged",
  "sms_due",
  "sms_sent",
  "sms_receipt",
  "sms_cancelled",
  "sms_failed",
  "edited",
  "deleted",
]);

/**
 * @param {import("./sdk.js").Duologue} duologue
 * @param {import("./sdk.js").Message} message
 */
export async function showTrace(duologue, { chat_id, seq, text }) {
  const steps = h("div", { "aria-live": "polite" }, h("p", { class: "dim" }, t("loading")));
  openDialog(t("trace"), [h("blockquote", { dir: "auto" }, preview(text)), steps]);
  try {
    const { items } = await duologue.trace(chat_id, seq);
    fill(steps, h("ol", { class: "trace" }, items.map(step)));
  } catch (fault) {
    const { code } = /** @type {import("./sdk.js").DuologueError} */ (fault);
    fill(steps, h("p", {}, code === "not_found" ? t("no_trace") : reasonOf(fault)));
  }
}

/** @param {{ at: string, hop: string, detail?: string }} item */
function step({ at, hop, detail }) {
  return h(
    "li",
    { class: hop },
    h("strong", {}, HOPS.has(hop) ? t(/** @type {Key} */ (`hop_${hop}`)) : hop),
    h("time", { dateTime: at }, secondsTime(at)),
    detail && h("p", { class: "dim" }, detail),
  );
}
