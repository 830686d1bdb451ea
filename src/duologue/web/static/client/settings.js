// Settings: who one is, how things look, what others see, one's devices, and the ways out.

import { fill, h } from "./dom.js";
import { chooseLanguage, chosenLanguage, exactTime, since, t } from "./i18n.js";
import { notificationsOn, setNotifications } from "./notices.js";
import { confirm, hintLine, openDialog, reasonOf, toast } from "./overlay.js";
import { phoneTag } from "./people.js";
import { offerPhones } from "./phones.js";
import { LANGUAGES } from "./strings.js";
import { chooseTheme, chosenTheme } from "./theme.js";

/** @typedef {import("../sdk/duologue.d.ts").Duologue} Duologue */
/** @typedef {import("./model.js").Model} Model */

/** @param {Duologue} duologue @param {Model} model */
export function showSettings(duologue, model) {
  const end = new AbortController();
  const devices = h("div", { "aria-live": "polite" });
  const phones = h("p", { class: "dim" });
  const list = () => listDevices(duologue, devices);
  const dialog = openDialog(
    t("settings"),
    [
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
    ],
    { class: "settings", closed: () => end.abort() },
  );
  model.addEventListener("sessions", list, { signal: end.signal });
  list();
  offerPhones(duologue, phones);
}

/** @param {string} title @param {...import("./dom.js").Child} content */
const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

/** @param {Duologue} duologue */
function profile(duologue) {
  const { user } = duologue;
  const name = h("input", {
    id: "my-name",
    value: user?.display_name ?? "",
    maxLength: 64,
    autocomplete: "name",
    "aria-describedby": "my-name-hint",
  });
  const hint = hintLine("my-name-hint");
  const form = h(
    "form",
    { noValidate: true },
    h("p", { class: "dim" }, phoneTag(user?.phone ?? null)),
    h("label", { for: "my-name" }, t("name")),
    h("div", { class: "line" }, name, h("button", {}, t("save"))),
    hint,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await duologue.updateMe({ display_name: name.value.trim() });
      hint.textContent = "";
      toast(t("saved"));
    } catch (fault) {
      hint.textContent = reasonOf(fault);
    }
  });
  return form;
}

/** @param {Duologue} duologue @param {Element} place */
async function listDevices(duologue, place) {
  try {
    const { items } = await duologue.sessions();
    const end = (/** @type {() => Promise<void>} */ how) => () =>
      how().then(
        () => listDevices(duologue, place),
        (fault) => toast(reasonOf(fault)),
      );
    const others =
      items.length > 1 &&
      h(
        "button",
        { type: "button", class: "danger", onclick: end(() => duologue.endOtherSessions()) },
        t("end_others"),
      );
    fill(
      place,
      h(
        "ul",
        { class: "devices" },
        items.map((session) =>
          device(
            session,
            end(() => duologue.endSession(session.id)),
          ),
        ),
      ),
      others,
    );
  } catch (fault) {
    fill(place, h("p", {}, reasonOf(fault)));
  }
}

/** @param {import("../sdk/duologue.d.ts").Session} session @param {() => void} end */
function device({ device_name, current, last_seen_at, ip }, end) {
  const name = device_name || "—";
  return h(
    "li",
    {},
    h(
      "div",
      {},
      h("strong", {}, h("bdi", {}, name)),
      current && h("span", { class: "tag" }, t("sessions_this")),
      h("p", { class: "dim", title: exactTime(last_seen_at) }, t("sessions_seen", { when: since(last_seen_at), ip })),
    ),
    !current &&
      h("button", { type: "button", "aria-label": t("end_session_of", { name }), onclick: end }, t("end_session")),
  );
}

/** @param {Duologue} duologue */
function privacy(duologue) {
  const { user } = duologue;
  const relays = { off: t("relay_off"), offline: t("relay_offline"), always: t("relay_always") };
  const change = (/** @type {string} */ name) => async (/** @type {Event} */ event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    try {
      await duologue.updateMe({ [name]: box.checked });
    } catch (fault) {
      box.checked = !box.checked;
      toast(reasonOf(fault));
    }
  };
  const save = (/** @type {string} */ name) => (/** @type {string} */ value) => {
    duologue.updateMe({ [name]: value }).then(
      () => toast(t("saved")),
      (fault) => toast(reasonOf(fault)),
    );
  };
  const writers = { everyone: t("write_everyone"), requests: t("write_requests"), nobody: t("write_nobody") };
  const watchers = { chats: t("presence_chats"), nobody: t("presence_nobody") };
  return h(
    "div",
    {},
    checkbox(t("read_receipts"), user?.read_receipts ?? true, change("read_receipts")),
    checkbox(t("discoverable"), user?.discoverable ?? true, change("discoverable")),
    choice("who-can-write", t("who_can_write"), writers, user?.who_can_write ?? "everyone", save("who_can_write")),
    choice("presence", t("presence"), watchers, user?.presence === "nobody" ? "nobody" : "chats", save("presence")),
    choice("sms-relay", t("sms_relay"), relays, user?.sms_relay ?? "offline", save("sms_relay")),
  );
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

/** @param {Duologue} duologue @param {() => void} close */
function account(duologue, close) {
  async function signOut() {
    const waiting = duologue.outbox.length;
    const text = waiting ? t("sign_out_waiting", { n: waiting }) : "";
    if (!(await confirm(t("sign_out_question"), text, t("sign_out")))) return;
    close();
    await duologue.signOut();
  }

  async function save() {
    try {
      const file = new Blob([JSON.stringify(await duologue.exportMe(), null, 2)], { type: "application/json" });
      const link = h("a", { href: URL.createObjectURL(file), download: "duologue.json" });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (fault) {
      toast(reasonOf(fault));
    }
  }

  async function remove() {
    if (!(await confirm(t("delete_account_question"), t("danger"), t("delete_account")))) return;
    try {
      await duologue.deleteMe();
      close();
    } catch (fault) {
      toast(reasonOf(fault));
    }
  }

  return h(
    "div",
    { class: "buttons" },
    h("button", { type: "button", onclick: save }, t("export")),
    h("button", { type: "button", onclick: signOut }, t("sign_out")),
    h("button", { type: "button", class: "danger", onclick: remove }, t("delete_account")),
  );
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
