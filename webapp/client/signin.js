// Signing in: the number, the code where the server asks for one, and for somebody new a name.

import { CodeForm } from "./codeform.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { hintLine, toast } from "./overlay.js";
import { PhoneField } from "./phonefield.js";
import { offerPhones } from "./phones.js";
import { cardHead, deviceName, whileBusy } from "./signincard.js";

/** @typedef {import("./sdk.js").Duologue} Duologue */
/** @typedef {import("./sdk.js").Verification} Verification */
/** Who signs in, where that is shown, and what comes after it.
 * @typedef {{ duologue: Duologue, card: Element, done: () => void }} Entrance */

const ENDED = "duologue.ended";

/**
 * Show it in an element. Resolves once somebody is signed in.
 *
 * @param {Duologue} duologue
 * @param {Element} root
 * @returns {Promise<void>}
 */
export function signIn(duologue, root) {
  const card = h("main", { class: "card", "aria-labelledby": "title" });
  fill(root, h("div", { class: "entrance" }, card));
  explain();
  return new Promise((done) => askNumber({ duologue, card, done }));
}

/** @param {Entrance} entrance */
function askNumber(entrance) {
  const field = new PhoneField();
  const button = h("button", { class: "primary" }, t("continue"));
  const form = h("form", { noValidate: true }, field.element, button);
  const refuse = (/** @type {string} */ reason) => field.refuse(reason);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const phone = field.number();
    if (phone) whileBusy(button, () => begin(entrance, phone), refuse);
  });
  const phones = h("p", { class: "dim aside" });
  fill(entrance.card, cardHead("Duologue", t("sign_in_hint")), form, phones);
  field.focus();
  offerPhones(entrance.duologue, phones);
}

/** @param {Entrance} entrance @param {string} phone */
async function begin(entrance, phone) {
  const { duologue } = entrance;
  const { sign_in } = await duologue.server();
  if (sign_in === "open") {
    const { new_user } = await duologue.signIn({ phone, device_name: deviceName() });
    welcome(entrance, new_user);
  } else {
    askCode(entrance, phone, await duologue.requestCode(phone));
  }
}

/** @param {Entrance} entrance @param {string} phone @param {Verification} verification */
function askCode(entrance, phone, verification) {
  const { duologue, card } = entrance;
  const form = new CodeForm({
    duologue,
    phone,
    verification,
    back: () => askNumber(entrance),
    done: (isNew) => welcome(entrance, isNew),
  });
  form.show(card);
}

/** @param {Entrance} entrance @param {boolean} isNew */
function welcome(entrance, isNew) {
  if (isNew) askName(entrance);
  else entrance.done();
}

/** The last step, for somebody new. @param {Entrance} entrance */
function askName({ duologue, card, done }) {
  const name = h("input", { id: "name", autocomplete: "name", maxLength: 64, "aria-describedby": "name-hint" });
  const hint = hintLine("name-hint");
  const button = h("button", { class: "primary" }, t("continue"));
  const form = h("form", { noValidate: true }, h("label", { for: "name" }, t("name")), name, hint, button);
  const save = async () => {
    const display_name = name.value.trim();
    if (display_name) await duologue.updateMe({ display_name });
    done();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    whileBusy(button, save, (text) => {
      hint.textContent = text;
    });
  });
  const skip = h("button", { type: "button", class: "link", onclick: done }, t("skip"));
  fill(card, cardHead(t("name_question"), t("name_hint")), form, h("div", { class: "aside" }, skip));
  name.focus();
}

/** Remember why the session ended: `signIn` shows it after the page was loaded again. @param {string} reason */
export function rememberWhy(reason) {
  sessionStorage.setItem(ENDED, reason);
}

function explain() {
  if (sessionStorage.getItem(ENDED) === "session_ended") toast(t("session_ended"));
  sessionStorage.removeItem(ENDED);
}
