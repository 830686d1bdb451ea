// A phone number with its country beside it.

import { h } from "./dom.js";
import { either, language, t } from "./i18n.js";
import { hintLine } from "./overlay.js";
import { countryIn, countryOf, digitsOf, likelyRegion, namedCountries, read } from "./phone.js";

const named = namedCountries(language);
let last = likelyRegion();

/**
 * `element` holds the fields; `number()` is the number if it can be one, and says what is wrong with it otherwise;
 * `refuse` says why the server doesn't take it.
 */
export function phoneField() {
  const country = h(
    "select",
    { id: "country", "aria-label": t("country"), autocomplete: "tel-country-code" },
    named.map(({ region, name, code }) => h("option", { value: region }, `${name} (+${code})`)),
  );
  const number = h("input", {
    id: "number",
    type: "tel",
    required: true,
    maxLength: 32,
    autocomplete: "tel",
    spellcheck: false,
    "aria-describedby": "number-hint",
  });
  const hint = hintLine("number-hint");
  const code = h("span", { class: "code", "aria-hidden": "true" });

  function show() {
    code.textContent = `${country.value} +${countryOf(country.value)?.code ?? ""}`;
  }

  /** @param {string} text */
  function refuse(text) {
    hint.textContent = text;
    number.setAttribute("aria-invalid", String(text !== ""));
    if (text) number.focus();
  }

  country.value = last;
  show();
  country.addEventListener("change", () => {
    last = country.value;
    refuse("");
    show();
    number.focus();
  });
  number.addEventListener("input", () => {
    refuse("");
    const { international, digits } = digitsOf(number.value);
    const found = international && countryIn(digits);
    if (!found || found.code === countryOf(country.value)?.code) return;
    country.value = last = found.region;
    show();
  });

  const element = h(
    "div",
    { class: "phone-field" },
    h("label", { for: "number" }, t("number")),
    h("div", { class: "phone" }, h("div", { class: "country" }, code, country), number),
    hint,
  );
  return {
    element,
    refuse,
    focus: () => number.focus(),
    number() {
      const { phone, country: home, problem } = read(number.value, country.value);
      if (!problem) return phone;
      refuse(reason(problem, home));
      return null;
    },
  };
}

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
