// One chat: who it is with, its history, and where one writes.

import { decorate, messageRow, pendingRow } from "./bubble.js";
import { chatActions } from "./chatlist.js";
import { composer } from "./composer.js";
import { announce, fill, h, icon, iconButton, oncePerFrame } from "./dom.js";
import { dayName, since, t } from "./i18n.js";
import { openMenu, reasonOf, toast } from "./overlay.js";
import { avatar, nameOf, nameTag, phoneTag } from "./people.js";
import { Timeline } from "./timeline.js";
import { showTrace } from "./trace.js";

/** @typedef {import("../sdk/duologue.d.ts").Chat} Chat */
/** @typedef {import("../sdk/duologue.d.ts").Message} Message */
/** @typedef {import("./overlay.js").Item} Item */

const LONGEST = 4096; // characters, unless the server tells otherwise
const CHIP = 1200; // milliseconds that the day stays in sight after scrolling
const PAGE = 8; // messages that PageUp and PageDown pass
const AGAIN = 60_000; // "5 minutes ago" isn't true for long

/** What was written and not sent, by chat. @type {Map<string, string>} */
const drafts = new Map();

/**
 * @param {{ duologue: import("../sdk/duologue.d.ts").Duologue, model: import("./model.js").Model,
 *   limits: Record<string, number> }} app
 * @param {string} chatId
 */
export function conversation({ duologue, model, limits }, chatId) {
  const history = model.history(chatId);
  const chat = () => /** @type {Chat} */ (model.chats.get(chatId));
  const end = new AbortController();
  const opened = chat();
  // Where the line "New messages" goes; it stays until one answers.
  let firstUnread = opened.unread ? opened.marks.read + 1 : 0;
  /** What each row shows, to draw it again only if that has changed. @type {WeakMap<HTMLElement, string>} */
  const shown = new WeakMap();

  const title = h("div", { class: "title" });
  const chip = h("div", { class: "day-chip", "aria-hidden": "true" });
  const pending = h("div", { class: "pending-rows", role: "presentation" });
  const feed = h("div", {
    class: "feed",
    role: "feed",
    "aria-label": t("chat_with", { name: nameOf(opened.peer) }),
    tabIndex: 0,
  });
  const count = h("span", { class: "badge", hidden: true });
  const toEnd = iconButton("down", t("jump_to_end"), {
    class: "to-end",
    hidden: true,
    onclick: () => timeline.showEnd(),
  });
  toEnd.append(count);
  const empty = h("p", { class: "empty", hidden: true }, t("empty_chat"));

  const timeline = new Timeline(
    {
      total: () => history.total,
      has: (seq) => history.get(seq) !== undefined,
      need: (first, last) => history.need(first, last),
      make: (seq) => {
        const message = /** @type {Message} */ (history.get(seq));
        if (message.withheld) return h("div", { class: "withheld", "aria-hidden": "true" });
        const row = messageRow(message, around(message));
        shown.set(row, signature(message));
        return row;
      },
      renew: (row, seq) => {
        const message = history.get(seq);
        if (!message || message.withheld || shown.get(row) === signature(message)) return;
        shown.set(row, signature(message));
        decorate(row, message, around(message));
      },
      settled,
    },
    feed,
    pending,
  );

  const writer = composer({
    longest: limits.text_characters ?? LONGEST,
    send,
    typing: (active) => duologue.typing(chatId, active),
    keep: (draft) => drafts.set(chatId, draft),
  });
  writer.restore(drafts.get(chatId) ?? "");

  const acceptIt = h("button", { type: "button", class: "primary", onclick: accept }, t("accept"));
  const request = h(
    "div",
    { class: "request", role: "status", hidden: true },
    h("p", {}, t("request_hint")),
    acceptIt,
  );
  const more = iconButton("more", t("actions_for", { name: nameOf(opened.peer) }), {
    "aria-haspopup": "menu",
    onclick: () => openMenu(more, chatActions(model, chat())),
  });
  const element = h(
    "section",
    { class: "conversation", "aria-label": t("chat_with", { name: nameOf(opened.peer) }) },
    h(
      "header",
      {},
      h("a", { href: "#", class: "icon-button back", "aria-label": t("back") }, icon("arrow")),
      title,
      more,
    ),
    h("div", { class: "history" }, feed, chip, empty, toEnd),
    request,
    writer.element,
  );

  const mine = (/** @type {Message} */ message) => message.sender_id !== chat().peer.id;
  const author = (/** @type {Message} */ message) => (mine(message) ? t("you") : nameOf(chat().peer));

  /** @param {Message} message @returns {import("./bubble.js").Surroundings} */
  function around(message) {
    const quoted = message.reply_to ? history.get(message.reply_to) : undefined;
    if (message.reply_to && !quoted) history.need(message.reply_to, message.reply_to);
    return {
      previous: before(message.seq),
      mine: mine(message),
      author: author(message),
      status: model.status(message),
      total: history.total,
      firstUnread: message.seq === firstUnread,
      quoted: quoted
        ? { author: author(quoted), text: quoted.deleted_at ? t("deleted_message") : quoted.text }
        : null,
    };
  }

  /** The message that is shown above a seq, if it is here. @param {number} seq */
  function before(seq) {
    let above = history.get(seq - 1);
    while (above?.withheld) above = history.get(above.seq - 1);
    return above;
  }

  async function accept() {
    try {
      await model.accept(chatId);
    } catch (fault) {
      toast(reasonOf(fault));
    }
  }

  /** What a row's looks depend on. @param {Message} message */
  function signature(message) {
    const { previous, quoted, status } = around(message);
    return [
      message.sent_at, // another message has this seq if the server went back to an older state
      previous?.sent_at,
      quoted?.text,
      mine(message) && status,
      message.seq === firstUnread,
      message.edited_at,
      message.deleted_at,
    ].join();
  }

  /** @param {string} text @param {number | undefined} reply_to */
  async function send(text, reply_to) {
    firstUnread = 0;
    timeline.showEnd();
    await duologue.send({ chat_id: chatId, text, reply_to });
  }

  function settled() {
    const { total } = history;
    toEnd.hidden = timeline.atEnd || timeline.last === 0;
    count.textContent = String(chat().unread);
    count.hidden = chat().unread === 0;
    empty.hidden = total > 0 || model.pending(chatId).length > 0;
    feed.setAttribute("aria-busy", String(timeline.rows.length === 0 && total > 0));
    // One of them can be reached with Tab; the arrows lead to the others.
    const rows = shownRows();
    if (!rows.some((row) => row.tabIndex === 0)) rows.at(-1)?.setAttribute("tabindex", "0");
    markRead();
  }

  const shownRows = () => timeline.rows.filter((row) => !row.classList.contains("withheld"));

  function markRead() {
    if (document.hidden || !document.hasFocus()) return;
    const seen = timeline.atEnd ? timeline.last : timeline.lastVisible;
    if (seen > chat().marks.read) model.read(chatId, seen);
  }

  function showTitle() {
    const { peer } = chat();
    const seen = model.presence.get(peer.id);
    const typing = model.typing.has(chatId);
    const number = peer.display_name ? phoneTag(peer.phone) : null;
    const last = seen?.last_seen_at ? t("last_seen", { when: since(seen.last_seen_at) }) : "";
    const state = typing ? t("typing") : seen?.online ? t("online") : last;
    fill(
      title,
      avatar(peer),
      h(
        "div",
        {},
        h("h1", {}, nameTag(peer)),
        h("p", { class: `state ${typing || seen?.online ? "here" : ""}` }, number, number && state && " · ", state),
      ),
    );
    writer.element.hidden = peer.phone === null;
    request.hidden = !chat().request;
  }

  let waiting = "";
  function showPending() {
    const entries = model.pending(chatId);
    const now = JSON.stringify(entries);
    if (now !== waiting) fill(pending, entries.map(pendingRow));
    waiting = now;
    timeline.renew();
  }

  let hiding = 0;
  function showDay() {
    const message = history.get(timeline.firstVisible);
    if (!message || timeline.atEnd) return;
    chip.textContent = dayName(message.sent_at);
    chip.classList.add("shown");
    clearTimeout(hiding);
    hiding = window.setTimeout(() => chip.classList.remove("shown"), CHIP);
  }

  /** @param {HTMLElement} row @param {Element} opener @param {{ x: number, y: number }} [point] */
  function openOptions(row, opener, point) {
    const message = history.get(Number(row.dataset.seq));
    if (message) openMenu(opener, messageActions(message), point);
    else if (row.dataset.client) openMenu(opener, pendingActions(row.dataset.client), point);
  }

  /** @param {Message} message @returns {(Item | false)[]} */
  function messageActions(message) {
    const { seq, text } = message;
    const answerable = message.deleted_at === null && chat().peer.phone !== null;
    return [
      answerable && {
        label: t("add_reply"),
        icon: "reply",
        act: () => writer.reply({ seq, text, author: author(message) }),
      },
      message.deleted_at === null && { label: t("copy"), icon: "copy", act: () => copy(text) },
      mine(message) && { label: t("trace"), icon: "route", act: () => showTrace(duologue, message) },
    ];
  }

  /** @param {string} clientId @returns {(Item | false)[]} */
  function pendingActions(clientId) {
    const entry = model.pending(chatId).find(({ client_id }) => client_id === clientId);
    if (!entry) return [];
    return [
      entry.error !== null && { label: t("retry"), icon: "send", act: () => duologue.retry(clientId) },
      { label: t("copy"), icon: "copy", act: () => copy(entry.text) },
      { label: t("discard"), icon: "trash", danger: true, act: () => duologue.discard(clientId) },
    ];
  }

  /** @param {string} text */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      toast(t("copied"));
    } catch (fault) {
      toast(reasonOf(fault));
    }
  }

  feed.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const row = /** @type {HTMLElement | null} */ (target.closest(".row"));
    const quote = /** @type {HTMLElement | null} */ (target.closest(".quote"));
    if (quote) timeline.show(Number(quote.dataset.seq));
    else if (row && target.closest(".options")) openOptions(row, target);
  });
  feed.addEventListener("contextmenu", (event) => {
    const target = /** @type {Element} */ (event.target);
    const row = /** @type {HTMLElement | null} */ (target.closest(".row"));
    if (!row || !target.closest(".bubble, .row:focus") || target.closest("a") || String(getSelection())) return;
    event.preventDefault();
    const { clientX: x, clientY: y } = event;
    openOptions(row, row.querySelector(".options") ?? row, x ? { x, y } : undefined);
  });
  feed.addEventListener("keydown", (event) => {
    const row = /** @type {Element} */ (event.target).closest(".row");
    const all = [...shownRows(), .../** @type {NodeListOf<HTMLElement>} */ (pending.querySelectorAll(".row"))];
    const at = row ? all.indexOf(/** @type {HTMLElement} */ (row)) : all.length;
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE }[event.key];
    const next = step && all[Math.max(0, Math.min(at + step, all.length - 1))];
    if (event.key === "End") timeline.showEnd();
    else if (event.key === "Home") timeline.show(1, 0);
    else if (event.key === "Enter" && row && event.target === row)
      /** @type {HTMLElement} */ (row.querySelector(".options")).click();
    else if (!next) return;
    event.preventDefault();
    if (!next) return;
    for (const one of all) one.tabIndex = one === next ? 0 : -1;
    next.focus();
  });
  feed.addEventListener("scroll", showDay, { passive: true });

  const listen = (
    /** @type {EventTarget} */ target,
    /** @type {string} */ name,
    /** @type {(event: any) => void} */ act,
  ) => target.addEventListener(name, act, { signal: end.signal });
  const redraw = oncePerFrame(() => {
    if (end.signal.aborted) return;
    showTitle();
    showPending();
  });
  listen(model, "messages", ({ detail }) => detail === chatId && redraw());
  listen(model, "people", redraw);
  listen(
    model,
    "incoming",
    ({ detail }) => detail.chat.id === chatId && announce(`${author(detail.message)}: ${detail.message.text}`),
  );
  listen(document, "visibilitychange", settled);
  listen(window, "focus", settled);
  const clock = setInterval(showTitle, AGAIN);

  showTitle();
  showPending();
  if (firstUnread) timeline.show(firstUnread);
  else timeline.showEnd();

  return {
    element,
    focus: writer.focus,
    leave() {
      end.abort();
      clearInterval(clock);
      writer.leave();
    },
  };
}
