// How a handset behaves: what its fields say, and what is sent to the server when one of them is changed.

import { behave } from "./api.js";
import { part } from "./page.js";

/** @typedef {import("./api.js").Behaviour} Behaviour */

const percent = new Intl.NumberFormat("en", { style: "percent" });

export class BehaviourFields {
  #element;
  #phone;
  #say;
  /** What was changed here: a server that has started again is told of it. @type {Partial<Behaviour>} */
  #told = {};
  /** What the fields say. @type {Behaviour | undefined} */
  #shown;

  /** @param {HTMLElement} element @param {string} phone @param {(text: string, wrong?: boolean) => void} say */
  constructor(element, phone, say) {
    this.#element = element;
    this.#phone = phone;
    this.#say = say;
    element.addEventListener("input", ({ target }) => {
      if (target instanceof HTMLInputElement && target.type === "range") showRate(target);
    });
    element.addEventListener("change", ({ target }) => {
      if (target instanceof HTMLInputElement) this.#changed(target);
    });
  }

  /** Have the server know what was changed here, and show what it says. */
  async connect() {
    this.#show(await behave(this.#phone, this.#told));
  }

  /** @param {HTMLInputElement} field */
  #changed(field) {
    if (field.type === "checkbox") this.#change({ [field.name]: field.checked });
    else if (!field.closest(".behaviour")) return;
    else if (field.checkValidity()) this.#change({ [field.name]: Number(field.value) });
    else this.#takeBack(field.validationMessage);
  }

  /** @param {Partial<Behaviour>} changes */
  async #change(changes) {
    try {
      this.#show(await behave(this.#phone, changes));
      Object.assign(this.#told, changes);
      this.#say("");
    } catch (fault) {
      this.#takeBack(/** @type {Error} */ (fault).message);
    }
  }

  /** @param {string} why */
  #takeBack(why) {
    this.#say(why, true);
    if (this.#shown) this.#show(this.#shown);
  }

  /** @param {Behaviour} now */
  #show(now) {
    this.#shown = now;
    const fields = /** @type {NodeListOf<HTMLInputElement>} */ (
      this.#element.querySelectorAll("header input, .behaviour input")
    );
    for (const field of fields) showValue(field, now[/** @type {keyof Behaviour} */ (field.name)]);
    part(this.#element, ".state", HTMLElement).textContent = described(now);
    this.#element.classList.toggle("unreachable", !now.reachable);
  }
}

/** @param {HTMLInputElement} field @param {number | boolean} value */
function showValue(field, value) {
  if (typeof value === "boolean") field.checked = value;
  else field.value = String(value);
  if (field.type === "range") showRate(field);
}

/** @param {HTMLInputElement} field */
function showRate(field) {
  const rate = percent.format(Number(field.value));
  field.ariaValueText = rate;
  if (field.nextElementSibling) field.nextElementSibling.textContent = rate;
}

/** What is unusual about a handset. @param {Behaviour} behaviour */
function described({ reachable, delay_ms, loss, duplicate, reorder, multipart }) {
  const rates = Object.entries({ loss, duplicate, reorder }).filter(([, rate]) => rate);
  return [
    reachable ? "reachable" : "no network",
    ...(delay_ms ? [`${delay_ms} ms late`] : []),
    ...rates.map(([name, rate]) => `${name} ${percent.format(rate)}`),
    ...(multipart ? [] : ["multipart off"]),
  ].join(" · ");
}
