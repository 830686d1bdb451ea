// A phone number with its country beside it.

import { h } from "./dom.js";
import { either, language, t } from "./i18n.js";
import { hintLine } from "./overlay.js";
import { countryIn, countryOf, digitsOf, likelyRegion, namedCountries, read } from "./phone.js";

const named = namedCountries(language);
/** The region that was chosen last. */
let last = likelyRegion();

/** `element` holds the fields. */
export class PhoneField {
  element;
  #country = countryField();
  #number = numberField();
  #code = h("span", { class: "code", "aria-hidden": "true" });
  #hint = hintLine("number-hint");

  constructor() {
    this.element = h(
      "div",
      { class: "phone-field" },
      h("label", { for: "number" }, t("number")),
      h("div", { class: "phone" }, h("div", { class: "country" }, this.#code, this.#country), this.#number),
      this.#hint,
    );
    this.#choose(last);
    this.#country.addEventListener("change", () => this.#countryChanged());
    this.#number.addEventListener("input", () => this.#numberChanged());
  }

  focus() {
    this.#number.focus();
  }

  /** The number, if it can be one; otherwise null, and the field says what is wrong. */
  number() {
    const { phone, country, problem } = read(this.#number.value, this.#country.value);
    if (!problem) return phone;
    this.refuse(reason(problem, country));
    return null;
  }

  /** Show why a number isn't taken; with an empty text, remove what was shown. @param {string} text */
  refuse(text) {
    this.#hint.textContent = text;
    this.#number.setAttribute("aria-invalid", String(text !== ""));
    if (text) this.#number.focus();
  }

  /** @param {string} region */
  #choose(region) {
    last = region;
    this.#country.value = region;
    this.#code.textContent = `${region} +${countryOf(region)?.code ?? ""}`;
  }

  #countryChanged() {
    this.refuse("");
    this.#choose(this.#country.value);
    this.#number.focus();
  }

  /** Choose the country that an international number names. */
  #numberChanged() {
    this.refuse("");
    const { international, digits } = digitsOf(this.#number.value);
    const found = international && countryIn(digits);
    if (found && found.code !== countryOf(this.#country.value)?.code) this.#choose(found.region);
  }
}

const countryField = () =>
  h(
    "select",
    { id: "country", "aria-label": t("country"), autocomplete: "tel-country-code" },
    named.map(({ region, name, code }) => h("option", { value: region }, `${name} (+${code})`)),
  );

const numberField = () =>
  h("input", {
    id: "number",
    type: "tel",
    required: true,
    maxLength: 32,
    autocomplete: "tel",
    spellcheck: false,
    "aria-describedby": "number-hint",
  });

/** @param {"empty" | "short" | "long" | "country"} problem @param {import("./phone.js").Country | undefined} country */
function reason(problem, country) {
  if (problem === "country") return t("hint_country");
  if (problem === "empty" || !country) return t("hint_empty");
  const about = {
    country: named.find(({ region }) => region === country.region)?.name ?? country.region,
    code: `+${country.code}`,
  };
  const { lengths } = country;
  if (lengths.length === 1) return t(problem === "long" ? "hint_long" : "hint_short", { ...about, n: lengths[0] });
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
  const all = lengths.length > 2 && most - least === lengths.length - 1;
  return t("hint_some", { ...about, lengths: all ? `${least}–${most}` : either(lengths) });
}
