// The page: which handsets are on it. It is remembered in this browser.

import { behave, canonical, phones } from "./api.js";
import { Handset } from "./handset.js";
import { byId, part } from "./page.js";

const MOST_LIVE = 4; // long polls at a time: a browser has six connections to a server, and others need some
const OTHERS_SHOWN = 8;
const LOOK_AGAIN = 5000; // milliseconds
const STORE = "duologue.phones";

const form = byId("add", HTMLFormElement);
const field = part(form, "[name=number]", HTMLInputElement);
const handsets = byId("handsets", HTMLElement);
const others = byId("others", HTMLElement);
/** The elements of the handsets by their numbers, in the order of the page. @type {Map<string, HTMLElement>} */
const shown = new Map();
/** The numbers that the server knows. @type {string[]} */
let known = [];

/** @param {string} text */
function announce(text) {
  byId("said", HTMLElement).textContent = text;
}

/** @param {string} phone */
function place(phone) {
  const { element } = new Handset(
    phone,
    () => shown.size > MOST_LIVE,
    () => remove(phone),
  );
  shown.set(phone, element);
  handsets.append(element);
}

/** @param {string} phone */
function remove(phone) {
  const element = shown.get(phone);
  const neighbour = element?.nextElementSibling ?? element?.previousElementSibling;
  element?.remove();
  shown.delete(phone);
  (neighbour ? part(neighbour, ".remove", HTMLElement) : field).focus();
  announce(`Removed ${phone}.`);
  changed();
}

/** @param {string} phone */
function add(phone) {
  if (!shown.has(phone)) place(phone);
  shown.get(phone)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  announce(`Added ${phone}.`);
  changed();
}

function changed() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...shown.keys()]));
  } catch {
    // Without storage the page is empty when it is loaded again.
  }
  byId("empty", HTMLElement).hidden = shown.size > 0;
  showOthers();
}

/** Offer the numbers that are in use and not on the page. */
function showOthers() {
  const wanted = known.filter((phone) => !shown.has(phone)).slice(0, OTHERS_SHOWN);
  const buttons = [...others.querySelectorAll("button")];
  others.hidden = !wanted.length;
  if (wanted.join() === buttons.map((button) => button.value).join()) return;
  for (const button of buttons) button.remove();
  others.append(...wanted.map(otherButton));
}

/** @param {string} phone */
function otherButton(phone) {
  const button = document.createElement("button");
  button.type = "button";
  button.value = phone;
  button.textContent = phone;
  button.setAttribute("aria-label", `Add ${phone}`);
  button.addEventListener("click", () => add(phone));
  return button;
}

async function lookForOthers() {
  if (document.hidden) return;
  try {
    known = await phones();
    showOthers();
  } catch {
    // Each handset shows already that the server is gone.
  }
}

/** The numbers that were on the page last. @returns {string[]} */
function remembered() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return [];
  }
}

/** Add the number that was typed. */
async function addTyped() {
  const phone = canonical(field.value);
  try {
    if (!phone) throw new Error("Type a number first, e.g. +33612345678.");
    await behave(phone, {});
    field.value = "";
    hint("");
    add(phone);
  } catch (fault) {
    hint(/** @type {Error} */ (fault).message);
    field.focus();
  }
}

/** @param {string} text */
function hint(text) {
  byId("hint", HTMLElement).textContent = text;
  field.setAttribute("aria-invalid", String(text !== ""));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  addTyped();
});
remembered().forEach(place);
changed();
lookForOthers();
setInterval(lookForOthers, LOOK_AGAIN);
document.addEventListener("visibilitychange", lookForOthers);
