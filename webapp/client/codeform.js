// The code that came by SMS: typed, pasted, or read by the browser itself.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { hintLine } from "./overlay.js";
import { pretty } from "./phone.js";
import { offerPhones } from "./phones.js";
import { cardHead, deviceName, whileBusy } from "./signincard.js";

/**
 * @typedef {object} Request
 * @property {import("./sdk.js").Duologue} duologue
 * @property {string} phone
 * @property {import("./sdk.js").Verification} verification
 * @property {() => void} back another number is wanted
 * @property {(isNew: boolean) => void} done
 */

const CODE_LENGTH = 6; // digits

export class CodeForm {
  #request;
  #verification;
  /** Aborted when the form is left: stops the countdown and the reading of SMS. */
  #away = new AbortController();
  #code = codeField();
  #hint = hintLine("code-hint");
  #submit = h("button", { class: "primary" }, t("continue"));
  #again = h("button", { type: "button", class: "link" });
  #other = h("button", { type: "button", class: "link" }, t("change_number"));
  #form;

  /** @param {Request} request */
  constructor(request) {
    this.#request = request;
    this.#verification = request.verification;
    const label = h("label", { for: "code" }, t("code"));
    this.#form = h("form", { noValidate: true }, label, this.#code, this.#hint, this.#submit);
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
    this.#code.addEventListener("input", () => this.#changed());
    this.#again.addEventListener("click", () => this.#while(this.#again, () => this.#sendAgain()));
    this.#other.addEventListener("click", () => this.#goBack());
  }

  /** @param {Element} card */
  show(card) {
    const { duologue, phone } = this.#request;
    const phones = h("p", { class: "dim aside" });
    const head = cardHead(t("sign_in"), t("code_sent", { phone: pretty(phone) }));
    fill(card, head, this.#form, h("div", { class: "aside" }, this.#again, this.#other), phones);
    this.#code.focus();
    this.#countDown();
    this.#readFromSms();
    offerPhones(duologue, phones);
  }

  get #digits() {
    return this.#code.value.replace(/\D/g, "");
  }

  /** @param {SubmitEvent} event */
  #submitted(event) {
    event.preventDefault();
    if (this.#digits.length === CODE_LENGTH) this.#while(this.#submit, () => this.#redeem());
    else this.#code.focus();
  }

  #changed() {
    this.#hint.textContent = "";
    this.#code.removeAttribute("aria-invalid");
    if (this.#digits.length === CODE_LENGTH) this.#form.requestSubmit();
  }

  async #redeem() {
    const { duologue, done } = this.#request;
    const verification_id = this.#verification.id;
    const credentials = { verification_id, code: this.#digits, device_name: deviceName() };
    const { new_user } = await duologue.signIn(credentials);
    this.#away.abort();
    done(new_user);
  }

  async #sendAgain() {
    this.#verification = await this.#request.duologue.requestCode(this.#request.phone);
    this.#code.value = "";
    this.#code.focus();
    this.#countDown();
  }

  #goBack() {
    this.#away.abort();
    this.#request.back();
  }

  /** @param {HTMLButtonElement} button @param {() => Promise<void>} work */
  #while(button, work) {
    whileBusy(button, work, (reason) => this.#refuse(reason));
  }

  /** @param {string} reason */
  #refuse(reason) {
    this.#hint.textContent = reason;
    this.#code.setAttribute("aria-invalid", "true");
    this.#code.select();
    this.#code.focus();
  }

  #countDown() {
    countDown(this.#again, this.#verification.resend_at, this.#away.signal);
  }

  async #readFromSms() {
    const received = await readFromSms(this.#away.signal);
    if (!received || this.#away.signal.aborted) return;
    this.#code.value = received;
    this.#form.requestSubmit();
  }
}

const codeField = () =>
  h("input", {
    id: "code",
    class: "digits",
    inputMode: "numeric",
    autocomplete: "one-time-code",
    maxLength: 12,
    required: true,
    "aria-describedby": "code-hint",
  });

/** Disable the button until another code may be asked for, and show the time left.
 * @param {HTMLButtonElement} button @param {string} until @param {AbortSignal} away */
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
