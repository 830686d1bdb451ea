// One message as it looks.

import { h, icon } from "./dom.js";
import { clockTime, dayName, dayOf, exactTime, t } from "./i18n.js";
import { isEmojiOnly, preview, withLinks } from "./text.js";

/** @typedef {import("./sdk.js").Message} Message */
/** @typedef {import("./sdk.js").OutboxEntry} OutboxEntry */
/** @typedef {import("./sdk.js").Status} Status */

const TOGETHER = 4 * 60_000; // milliseconds between messages that belong to one another

/** One tick, two, or two in colour. @param {Status} status */
export function statusIcon(status) {
  const ticks = h("span", { class: `ticks ${status}` }, icon(status === "sent" ? "check" : "checks"));
  ticks.append(h("span", { class: "unseen" }, t(`status_${status}`)));
  return ticks;
}

/**
 * What a conversation shows of a message.
 *
 * @typedef {object} Surroundings
 * @property {Message | undefined} previous
 * @property {boolean} mine
 * @property {string} author
 * @property {Status} status
 * @property {number} total how many messages the chat has
 * @property {boolean} firstUnread
 * @property {{ author: string, text: string } | null} quoted
 */

/** @param {Message} message @param {Surroundings} around */
export function messageRow(message, around) {
  const row = h("article", { class: "row", tabIndex: -1, "data-seq": message.seq });
  decorate(row, message, around);
  return row;
}

/** Draw a row, or draw it again. @param {HTMLElement} row @param {Message} message @param {Surroundings} around */
export function decorate(row, message, around) {
  const { previous, mine, author, total } = around;
  const newDay = !previous ? message.seq === 1 : dayOf(previous.sent_at) !== dayOf(message.sent_at);
  const near = previous && Date.parse(message.sent_at) - Date.parse(previous.sent_at) < TOGETHER;
  const together = near && !newDay && !around.firstUnread && previous.sender_id === message.sender_id;
  row.className = `row ${mine ? "mine" : "theirs"} ${together ? "together" : ""}`;
  row.setAttribute("aria-label", t("message_from", { name: author, time: exactTime(message.sent_at) }));
  row.setAttribute("aria-posinset", String(message.seq));
  row.setAttribute("aria-setsize", String(total));
  row.replaceChildren(
    ...(newDay ? [h("h2", { class: "day" }, dayName(message.sent_at))] : []),
    ...(around.firstUnread ? [h("p", { class: "unread-line" }, t("new_messages"))] : []),
    bubble(message, around),
  );
}

/** @param {Message} message @param {Surroundings} around */
function bubble(message, { mine, status, quoted }) {
  const gone = message.deleted_at !== null;
  const text = gone ? t("deleted_message") : withLinks(message.text);
  return h(
    "div",
    { class: `bubble ${gone ? "gone" : ""} ${!gone && isEmojiOnly(message.text) ? "emoji" : ""}` },
    message.reply_to !== null && quote(message.reply_to, quoted),
    h("p", { class: "text", dir: "auto" }, text),
    message.reactions.length > 0 && h("p", { class: "reactions" }, message.reactions.map(reaction)),
    h(
      "span",
      { class: "meta" },
      message.via === "sms" && h("span", { class: "via" }, t("sent_by_sms")),
      !gone && message.edited_at && h("span", {}, t("edited")),
      h("time", { dateTime: message.sent_at, title: exactTime(message.sent_at) }, clockTime(message.sent_at)),
      mine && statusIcon(status),
    ),
    options(),
  );
}

/** @param {import("./sdk.js").Message["reactions"][number]} reaction */
const reaction = ({ emoji, user_ids }) => h("span", {}, user_ids.length > 1 ? `${emoji} ${user_ids.length}` : emoji);

/** The button that opens a message's menu; Enter on the message opens it too. */
const options = () =>
  h("button", {
    type: "button",
    class: "options",
    tabIndex: -1,
    "aria-label": t("message_options"),
    "aria-haspopup": "menu",
  });

/** What a message answers. @param {number} seq @param {Surroundings["quoted"]} quoted */
export function quote(seq, quoted) {
  return h(
    "button",
    { type: "button", class: "quote", "data-seq": seq },
    h("bdi", { class: "name" }, quoted?.author ?? "…"),
    h("span", { dir: "auto" }, quoted ? preview(quoted.text) : t("loading")),
  );
}

/** A message that is on its way. @param {OutboxEntry} entry */
export function pendingRow(entry) {
  const { error, text, client_id, queued_at } = entry;
  const state = error ? t("failed_why", { reason: error.detail }) : t("in_flight");
  const label = t("message_from", { name: t("you"), time: state });
  return h(
    "article",
    { class: "row mine pending", tabIndex: -1, "data-client": client_id, "aria-label": label },
    h(
      "div",
      { class: "bubble" },
      h("p", { class: "text", dir: "auto" }, withLinks(text)),
      h(
        "span",
        { class: "meta" },
        h("time", { dateTime: queued_at }, clockTime(queued_at)),
        h("span", { class: "ticks" }, icon(error ? "warning" : "clock"), h("span", { class: "unseen" }, state)),
      ),
      options(),
    ),
    error && h("p", { class: "failure" }, state),
  );
}
