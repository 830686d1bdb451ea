// Settings: who one is, how things look, what others see, one's devices, and the ways out.

import { listDevices } from "./devices.js";
import { h } from "./dom.js";
import { chooseLanguage, chosenLanguage, t } from "./i18n.js";
import { notificationsOn, setNotifications } from "./notices.js";
import { confirm, hintLine, openDialog, reasonOf, toast } from "./overlay.js";
import { phoneTag } from "./people.js";
import { offerPhones } from "./phones.js";
import { LANGUAGES } from "./strings.js";
import { chooseTheme, chosenTheme } from "./theme.js";

/** @typedef {import("./sdk.js").Duologue} Duologue */
/** @typedef {import("./model.js").Model} Model */

/** @param {Duologue} duologue @param {Model} model */
export function showSettings(duologue, model) {
  const end = new AbortController();
  const devices = h("div", { "aria-live": "polite" });
  const phones = h("p", { class: "dim" });
  const list = () => listDevices(duologue, devices);
  const content = [
    section(t("profile"), profile(duologue)),
    section(t("devices"), devices),
    section(t("privacy"), privacy(duologue)),
    section(t("notifications"), notifications()),
    section(t("appearance"), appearance()),
    section(
      t("account"),
      account(duologue, () => dialog.close()),
    ),
    section(t("about"), h("p", {}, h("a", { href: "/docs", target: "_blank" }, t("api"))), phones),
  ];
  const dialog = openDialog(t("settings"), content, { class: "settings", closed: () => end.abort() });
  model.addEventListener("sessions", list, { signal: end.signal });
  list();
  offerPhones(duologue, phones);
}

/** @param {string} title @param {...import("./dom.js").Child} content */
const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

/** @param {Duologue} duologue */
function profile(duologue) {
  const name = nameField(duologue.user?.display_name ?? "");
  const hint = hintLine("my-name-hint");
  const form = h(
    "form",
    { noValidate: true },
    h("p", { class: "dim" }, phoneTag(duologue.user?.phone ?? null)),
    h("label", { for: "my-name" }, t("name")),
    h("div", { class: "line" }, name, h("button", {}, t("save"))),
    hint,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    saveName(duologue, name.value.trim(), hint);
  });
  return form;
}

/** @param {string} value */
const nameField = (value) =>
  h("input", { id: "my-name", value, maxLength: 64, autocomplete: "name", "aria-describedby": "my-name-hint" });

/** @param {Duologue} duologue @param {string} display_name @param {Element} hint */
async function saveName(duologue, display_name, hint) {
  try {
    await duologue.updateMe({ display_name });
    hint.textContent = "";
    toast(t("saved"));
  } catch (fault) {
    hint.textContent = reasonOf(fault);
  }
}

function notifications() {
  return checkbox(t("notifications_on"), notificationsOn(), async (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (await setNotifications(box.checked)) return;
    box.checked = false;
    toast(t("notifications_refused"));
  });
}

function appearance() {
  const themes = { "": t("auto"), light: t("light"), dark: t("dark") };
  const languages = {
    "": t("auto"),
    ...Object.fromEntries(Object.entries(LANGUAGES).map(([tag, { name }]) => [tag, name])),
  };
  return h(
    "div",
    { class: "choices" },
    choice("theme", t("theme"), themes, chosenTheme(), chooseTheme),
    choice("language", t("language"), languages, chosenLanguage(), chooseLanguage),
  );
}

/** What others see, who may write, and when messages are sent on by SMS. @param {Duologue} duologue */
function privacy(duologue) {
  const { user } = duologue;
  const presence = user?.presence === "nobody" ? "nobody" : "chats";
  const tick = (/** @type {string} */ name) => (/** @type {Event} */ event) => saveTick(duologue, name, event);
  const save = (/** @type {string} */ name) => (/** @type {string} */ value) => saveChoice(duologue, name, value);
  return h(
    "div",
    {},
    checkbox(t("read_receipts"), user?.read_receipts ?? true, tick("read_receipts")),
    checkbox(t("discoverable"), user?.discoverable ?? true, tick("discoverable")),
    choice("who-can-write", t("who_can_write"), writers(), user?.who_can_write ?? "everyone", save("who_can_write")),
    choice("presence", t("presence"), watchers(), presence, save("presence")),
    choice("sms-relay", t("sms_relay"), relays(), user?.sms_relay ?? "offline", save("sms_relay")),
  );
}

const writers = () => ({ everyone: t("write_everyone"), requests: t("write_requests"), nobody: t("write_nobody") });
const watchers = () => ({ chats: t("presence_chats"), nobody: t("presence_nobody") });
const relays = () => ({ off: t("relay_off"), offline: t("relay_offline"), always: t("relay_always") });

/** Save a checkbox; restore it if that fails. @param {Duologue} duologue @param {string} name @param {Event} event */
async function saveTick(duologue, name, event) {
  const box = /** @type {HTMLInputElement} */ (event.target);
  try {
    await duologue.updateMe({ [name]: box.checked });
  } catch (fault) {
    box.checked = !box.checked;
    toast(reasonOf(fault));
  }
}

/** @param {Duologue} duologue @param {string} name @param {string} value */
async function saveChoice(duologue, name, value) {
  try {
    await duologue.updateMe({ [name]: value });
    toast(t("saved"));
  } catch (fault) {
    toast(reasonOf(fault));
  }
}

/** Export, sign-out and deletion of the account.
 * @param {Duologue} duologue @param {() => void} close the dialog */
function account(duologue, close) {
  const button = (/** @type {string} */ label, /** @type {() => void} */ onclick, more = {}) =>
    h("button", { type: "button", onclick, ...more }, label);
  return h(
    "div",
    { class: "buttons" },
    button(t("export"), () => save(duologue)),
    button(t("sign_out"), () => signOut(duologue, close)),
    button(t("delete_account"), () => remove(duologue, close), { class: "danger" }),
  );
}

/** @param {Duologue} duologue @param {() => void} close */
async function signOut(duologue, close) {
  const waiting = duologue.outbox.length;
  const text = waiting ? t("sign_out_waiting", { n: waiting }) : "";
  if (!(await confirm(t("sign_out_question"), text, t("sign_out")))) return;
  close();
  await duologue.signOut();
}

/** Save all of one's data as a file. @param {Duologue} duologue */
async function save(duologue) {
  try {
    const file = new Blob([JSON.stringify(await duologue.exportMe(), null, 2)], { type: "application/json" });
    const link = h("a", { href: URL.createObjectURL(file), download: "duologue.json" });
    link.click();
    URL.revokeObjectURL(link.href);
  } catch (fault) {
    toast(reasonOf(fault));
  }
}

/** @param {Duologue} duologue @param {() => void} close */
async function remove(duologue, close) {
  if (!(await confirm(t("delete_account_question"), t("danger"), t("delete_account")))) return;
  try {
    await duologue.deleteMe();
    close();
  } catch (fault) {
    toast(reasonOf(fault));
  }
}

/** @param {string} label @param {boolean} checked @param {(event: Event) => void} onchange */
const checkbox = (label, checked, onchange) =>
  h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange }), label);

/**
 * @param {string} id
 * @param {string} label
 * @param {Record<string, string>} options
 * @param {string} value
 * @param {(value: string) => void} choose
 */
function choice(id, label, options, value, choose) {
  const select = h(
    "select",
    { id, onchange: () => choose(select.value) },
    Object.entries(options).map(([key, name]) => h("option", { value: key, selected: key === value }, name)),
  );
  return h("div", {}, h("label", { for: id }, label), select);
}
