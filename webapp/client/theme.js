// Light or dark: as the device, unless chosen here.

import { prefer, preferred } from "./preferences.js";

export const chosenTheme = () => preferred("theme");

/** @param {string} theme `light`, `dark`, or empty: as the device */
export function chooseTheme(theme) {
  prefer("theme", theme);
  document.documentElement.dataset.theme = theme;
}

document.documentElement.dataset.theme = chosenTheme();
