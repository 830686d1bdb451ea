// What the steps of signing in share.

import { h } from "./dom.js";
import { reasonOf } from "./overlay.js";

/** In this order: what a browser calls itself also contains the names of those further down.
 * @type {[string, RegExp][]} */
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

/** @param {string} title @param {string} text */
export const cardHead = (title, text) => [
  h("img", { src: "/docs/icon.svg", alt: "", width: 56, height: 56 }),
  h("h1", { id: "title" }, title),
  h("p", { class: "dim" }, text),
];

/** Disable a button while its work is done, and show why it failed.
 * @param {HTMLButtonElement} button @param {() => Promise<void>} work @param {(reason: string) => void} refuse */
export async function whileBusy(button, work, refuse) {
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
