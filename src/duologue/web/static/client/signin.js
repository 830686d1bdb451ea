// Signing in: the number, the code where the server asks for one, and for somebody new a name.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { hintLine, reasonOf, toast } from "./overlay.js";
import { pretty } from "./phone.js";
import { phoneField } from "./phonefield.js";
import { offerPhones } from "./phones.js";

/** @typedef {import("../sdk/duologue.d.ts").Duologue} Duologue */

const CODE_LENGTH = 6;
const ENDED = "duologue.ended";
/** Each calls itself by the names of those that come after it. @type {[string, RegExp][]} */
const BROWSERS = [
  ["Edge", /Edg/],
  ["Opera", /OPR/],
  ["Firefox", /Firefox|FxiOS/],
  ["Chrome", /Chrom|CriOS/],
  ["Safari", /Safari/],
];
/** @type {[string, RegExp][]} */
const SYSTEMS = [
  ["Android", /Android/],
  ["iOS", /iPhone|iPad/],
  ["Windows", /Windows/],
  ["macOS", /Mac OS/],
  ["Linux", /Linux/],
];

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
  return new Promise((done) => askNumber(duologue, card, done));
}

/** @param {string} title @param {string} text */
const head = (title, text) => [
  h("img", { src: "/docs/icon.svg", alt: "", width: 56, height: 56 }),
  h("h1", { id: "title" }, title),
  h("p", { class: "dim" }, text),
];

/** @param {Duologue} duologue @param {Element} card @param {() => void} done */
function askNumber(duologue, card, done) {
  const field = phoneField();
  const button = h("button", { class: "primary" }, t("continue"));
  const form = h("form", { noValidate: true }, field.element, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const phone = field.number();
    if (phone) whileBusy(button, () => begin(phone), field.refuse);
  });

  /** @param {string} phone */
  async function begin(phone) {
    const { sign_in } = await duologue.server();
    if (sign_in === "open") {
      greet(duologue, card, (await duologue.signIn({ phone, device_name: deviceName() })).new_user, done);
      return;
    }
    askCode(duologue, card, phone, await duologue.requestCode(phone), done);
  }

  const phones = h("p", { class: "dim aside" });
  fill(card, head("Duologue", t("sign_in_hint")), form, phones);
  field.focus();
  offerPhones(duologue, phones);
}

/**
 * @param {Duologue} duologue
 * @param {Element} card
 * @param {string} phone
 * @param {import("../sdk/duologue.d.ts").Verification} verification
 * @param {() => void} done
 */
function askCode(duologue, card, phone, verification, done) {
  const code = h("input", {
    id: "code",
    class: "digits",
    inputMode: "numeric",
    autocomplete: "one-time-code",
    maxLength: 12,
    required: true,
    "aria-describedby": "code-hint",
  });
  const hint = hintLine("code-hint");
  const button = h("button", { class: "primary" }, t("continue"));
  const again = h("button", { type: "button", class: "link" });
  const other = h("button", { type: "button", class: "link", onclick: back }, t("change_number"));
  const form = h("form", { noValidate: true }, h("label", { for: "code" }, t("code")), code, hint, button);
  const away = new AbortController();

  function back() {
    away.abort();
    askNumber(duologue, card, done);
  }

  const refuse = (/** @type {string} */ text) => {
    hint.textContent = text;
    code.setAttribute("aria-invalid", "true");
    code.select();
    code.focus();
  };
  const redeem = async () => {
    const credentials = { verification_id: verification.id, code: digits(code.value), device_name: deviceName() };
    const { new_user } = await duologue.signIn(credentials);
    away.abort();
    greet(duologue, card, new_user, done);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (digits(code.value).length === CODE_LENGTH) whileBusy(button, redeem, refuse);
    else code.focus();
  });
  code.addEventListener("input", () => {
    hint.textContent = "";
    code.removeAttribute("aria-invalid");
    if (digits(code.value).length === CODE_LENGTH) form.requestSubmit();
  });
  again.addEventListener("click", () =>
    whileBusy(
      again,
      async () => {
        verification = await duologue.requestCode(phone);
        code.value = "";
        code.focus();
        countDown(again, verification.resend_at, away.signal);
      },
      refuse,
    ),
  );

  const phones = h("p", { class: "dim aside" });
  const text = t("code_sent", { phone: pretty(phone) });
  fill(card, head(t("sign_in"), text), form, h("div", { class: "aside" }, again, other), phones);
  code.focus();
  countDown(again, verification.resend_at, away.signal);
  readFromSms(away.signal).then((received) => {
    if (!received || away.signal.aborted) return;
    code.value = received;
    form.requestSubmit();
  });
  offerPhones(duologue, phones);
}

const digits = (/** @type {string} */ text) => text.replace(/\D/g, "");

/** Sending again has to wait. @param {HTMLButtonElement} button @param {string} until @param {AbortSignal} away */
function countDown(button, until, away) {
  const left = Math.ceil((Date.parse(until) - Date.now()) / 1000);
  button.disabled = left > 0;
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  button.textContent = left > 0 ? t("resend_in", { time }) : t("resend");
  if (left > 0) setTimeout(() => !away.aborted && countDown(button, until, away), 1000);
}

/** The code, where the browser reads it from the SMS itself (WebOTP). @param {AbortSignal} signal */
async function readFromSms(signal) {
  if (!("OTPCredential" in window)) return null;
  const wish = /** @type {CredentialRequestOptions} */ ({ otp: { transport: ["sms"] }, signal });
  const received = await navigator.credentials.get(wish).catch(() => null);
  return /** @type {any} */ (received)?.code ?? null;
}

/** @param {Duologue} duologue @param {Element} card @param {boolean} isNew @param {() => void} done */
function greet(duologue, card, isNew, done) {
  if (!isNew) {
    done();
    return;
  }
  const name = h("input", { id: "name", autocomplete: "name", maxLength: 64, "aria-describedby": "name-hint" });
  const hint = hintLine("name-hint");
  const button = h("button", { class: "primary" }, t("continue"));
  const form = h("form", { noValidate: true }, h("label", { for: "name" }, t("name")), name, hint, button);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const display_name = name.value.trim();
    const save = async () => {
      if (display_name) await duologue.updateMe({ display_name });
      done();
    };
    whileBusy(button, save, (text) => (hint.textContent = text));
  });
  const skip = h("button", { type: "button", class: "link", onclick: done }, t("skip"));
  fill(card, head(t("name_question"), t("name_hint")), form, h("div", { class: "aside" }, skip));
  name.focus();
}

/** @param {HTMLButtonElement} button @param {() => Promise<void>} work @param {(reason: string) => void} refuse */
async function whileBusy(button, work, refuse) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    await work();
  } catch (fault) {
    refuse(reasonOf(fault));
  } finally {
    if (button.textContent && !button.classList.contains("link")) button.disabled = false;
  }
}

/** What the list of devices calls this one. */
export function deviceName() {
  const { userAgent } = navigator;
  const found = (/** @type {[string, RegExp][]} */ kinds) =>
    kinds.find(([, pattern]) => pattern.test(userAgent))?.[0];
  return [found(BROWSERS) ?? "Browser", found(SYSTEMS)].filter(Boolean).join(" · ");
}

/** Have it explained why one has to sign in again, after the page was loaded anew. @param {string} reason */
export function rememberWhy(reason) {
  sessionStorage.setItem(ENDED, reason);
}

function explain() {
  if (sessionStorage.getItem(ENDED) === "session_ended") toast(t("session_ended"));
  sessionStorage.removeItem(ENDED);
}
