// What opens above the page: dialogs, menus and toasts; and announcements to screen readers.

import { fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";

const TOAST = 6000; // milliseconds
const MARGIN = 8; // pixels between a menu and the window's edge

let names = 0;

/**
 * Open a dialog. It is removed when it is closed.
 *
 * @param {string} title
 * @param {import("./dom.js").Child[]} content
 * @param {{ closed?: () => void, class?: string }} [options]
 */
export function openDialog(title, content, { closed, ...options } = {}) {
  names += 1;
  const id = `dialog-${names}`;
  const dialog = h(
    "dialog",
    { "aria-labelledby": id, class: options.class },
    h("header", {}, h("h2", { id }, title), iconButton("close", t("close"), { onclick: () => dialog.close() })),
    h("div", { class: "dialog-body" }, content),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
  });
  dialog.addEventListener("pointerdown", (event) => {
    if (event.target === dialog) dialog.close(); // a press beside the dialog, on its backdrop
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask for a decision.
 *
 * @param {string} title
 * @param {string} text
 * @param {string} yes
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, yes) {
  return new Promise((decided) => {
    let answer = false;
    const decide = (/** @type {boolean} */ value) => {
      answer = value;
      dialog.close();
    };
    const content = [text && h("p", {}, text), yesOrNo(yes, decide)];
    const dialog = openDialog(title, content, { class: "question", closed: () => decided(answer) });
  });
}

/** @param {string} yes @param {(answer: boolean) => void} decide */
const yesOrNo = (yes, decide) =>
  h(
    "div",
    { class: "buttons" },
    h("button", { type: "button", onclick: () => decide(false) }, t("cancel")),
    h("button", { type: "button", class: "danger", onclick: () => decide(true) }, yes),
  );

/**
 * @typedef {{ label: string, icon: Parameters<typeof icon>[0], act: () => void, danger?: boolean }} Item
 *
 * Open a menu at an element or a point.
 *
 * @param {Element} opener gets the focus back
 * @param {(Item | null | false | undefined)[]} items
 * @param {{ x: number, y: number }} [point]
 */
export function openMenu(opener, items, point) {
  document.querySelector(".menu")?.remove();
  const buttons = items.filter((item) => !!item).map((item) => menuItem(item, () => menu.hidePopover()));
  const menu = h("div", { class: "menu", role: "menu", popover: "auto", onkeydown: moveWithin }, buttons);
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === "closed") closeMenu(menu, opener);
  });
  (opener.closest("nav, section, dialog") ?? document.body).append(menu);
  opener.setAttribute("aria-expanded", "true");
  menu.showPopover();
  place(menu, point ?? below(opener));
  buttons[0]?.focus();
}

/** @param {Item} item @param {() => void} hide */
function menuItem(item, hide) {
  const onclick = () => {
    hide();
    item.act();
  };
  const looks = { type: "button", role: "menuitem", tabIndex: -1, class: item.danger ? "danger" : null, onclick };
  return h("button", looks, icon(item.icon), item.label);
}

/** @param {HTMLElement} menu @param {Element} opener */
function closeMenu(menu, opener) {
  opener.setAttribute("aria-expanded", "false");
  if (menu.contains(document.activeElement) && opener instanceof HTMLElement) opener.focus();
  menu.remove();
}

/** @param {Element} opener */
function below(opener) {
  const box = opener.getBoundingClientRect();
  return { x: getComputedStyle(opener).direction === "rtl" ? box.left : box.right, y: box.bottom + 4 };
}

/** @param {HTMLElement} menu @param {{ x: number, y: number }} point */
function place(menu, { x, y }) {
  const { width, height } = menu.getBoundingClientRect();
  const left = x + width + MARGIN > innerWidth ? x - width : x;
  menu.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
  menu.style.top = `${Math.max(MARGIN, Math.min(y, innerHeight - height - MARGIN))}px`;
}

/** @param {KeyboardEvent} event */
function moveWithin(event) {
  const menu = /** @type {HTMLElement} */ (event.currentTarget);
  const items = /** @type {HTMLElement[]} */ ([...menu.children]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const targets = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 };
  if (event.key === "Tab") menu.hidePopover();
  if (!(event.key in targets)) return;
  event.preventDefault();
  items.at(targets[/** @type {keyof typeof targets} */ (event.key)] % items.length)?.focus();
}

const said = h("p", { class: "unseen", role: "status" });
document.body.append(said);

/** Have a screen reader say something. @param {string} text */
export function announce(text) {
  said.textContent = text;
}

const toasts = h("div", { class: "toasts" });
document.body.append(toasts);

/**
 * Show a line that disappears after some seconds.
 *
 * @param {string} text
 * @param {{ label: string, act: () => void }} [action] it stays as long as this is offered
 */
export function toast(text, action) {
  const button = action && h("button", { type: "button", onclick: action.act }, action.label);
  const element = h("div", { class: "toast" }, h("span", {}, text), button);
  fill(toasts, element);
  announce(text);
  if (!action) setTimeout(() => element.remove(), TOAST);
}

/** An empty line below a field, for what is wrong with it. @param {string} id */
export const hintLine = (id) => h("p", { class: "hint", id, role: "alert" });

/** Why something failed, in words. @param {unknown} fault */
export function reasonOf(fault) {
  const { code, message, errors, retryAfter, attemptsLeft } = /** @type {import("./sdk.js").DuologueError} */ (fault);
  if (code === "network") return t("network");
  if (code === "code_wrong" && attemptsLeft) return t("attempts_left", { n: attemptsLeft });
  if (code === "code_wrong" || code === "code_expired") return t("code_expired");
  if (code === "rate_limited" && retryAfter) return `${message} ${t("try_later", { n: Math.ceil(retryAfter) })}`;
  if (code === "peer_gone") return t("peer_gone");
  return code === "invalid" ? (Object.values(errors)[0] ?? message) : message;
}
