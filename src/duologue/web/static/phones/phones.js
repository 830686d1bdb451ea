// The page: which handsets are on it. It is remembered in this browser.

import { behave, canonical, phones } from "./api.js";
import { makeHandset } from "./handset.js";

const MOST_LIVE = 4; // long polls at a time: a browser has six connections to a server, and others need some
const OTHERS_SHOWN = 8;
const LOOK_AGAIN = 5000; // milliseconds
const STORE = "duologue.phones";

const part = (id) => document.getElementById(id);
const form = part("add");
const field = form.elements.number;
const shown = new Map(); // number → its element, in the order of the page
let known = [];

function place(phone) {
  const removed = () => {
    const neighbour = shown.get(phone).nextElementSibling ?? shown.get(phone).previousElementSibling;
    shown.get(phone).remove();
    shown.delete(phone);
    (neighbour?.querySelector(".remove") ?? field).focus();
    part("said").textContent = `Removed ${phone}.`;
    changed();
  };
  shown.set(
    phone,
    makeHandset(phone, () => shown.size > MOST_LIVE, removed),
  );
  part("handsets").append(shown.get(phone));
}

function add(phone) {
  if (!shown.has(phone)) place(phone);
  shown.get(phone).scrollIntoView({ block: "nearest", inline: "nearest" });
  part("said").textContent = `Added ${phone}.`;
  changed();
}

function changed() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...shown.keys()]));
  } catch {
    // A browser that stores nothing shows the same page, until it is loaded again.
  }
  part("empty").hidden = shown.size > 0;
  showOthers();
}

function showOthers() {
  const others = known.filter((phone) => !shown.has(phone)).slice(0, OTHERS_SHOWN);
  const buttons = [...part("others").querySelectorAll("button")];
  part("others").hidden = !others.length;
  if (others.join() === buttons.map((button) => button.value).join()) return;
  for (const button of buttons) button.remove();
  for (const phone of others) {
    const button = document.createElement("button");
    button.type = "button";
    button.value = phone;
    button.textContent = phone;
    button.setAttribute("aria-label", `Add ${phone}`);
    button.addEventListener("click", () => add(phone));
    part("others").append(button);
  }
}

async function lookForOthers() {
  if (document.hidden) return;
  try {
    known = await phones();
    showOthers();
  } catch {
    // Each handset says that the server is gone; it needn't be said once more.
  }
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return [];
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const phone = canonical(field.value);
  try {
    if (!phone) throw new Error("Type a number first, e.g. +33612345678.");
    await behave(phone, {});
    field.value = "";
    hint("");
    add(phone);
  } catch (fault) {
    hint(fault.message);
    field.focus();
  }
});

function hint(text) {
  part("hint").textContent = text;
  field.setAttribute("aria-invalid", String(text !== ""));
}

remembered().forEach(place);
changed();
lookForOthers();
setInterval(lookForOthers, LOOK_AGAIN);
document.addEventListener("visibilitychange", lookForOthers);
