// Words, numbers and times in the user's language.

import { prefer, preferred } from "./preferences.js";
import { LANGUAGES } from "./strings.js";

/** @typedef {import("./strings.js").Text} Text */

const RIGHT_TO_LEFT = new Set(["ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"]);
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

export const chosenLanguage = () => preferred("language");

/** The language that was chosen here, or else the first of the browser's that the client speaks. */
const language =
  [chosenLanguage(), ...navigator.languages].map((tag) => tag.split("-")[0]).find((tag) => tag in LANGUAGES) ?? "en";
/** How times and numbers are written: as in the browser's variant of that language, if it has one. */
const locale = navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
const { texts } = LANGUAGES[language];
const plurals = new Intl.PluralRules(language);

document.documentElement.lang = language;
document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? "rtl" : "ltr";

export { language };

/** Choose a language; empty: the browser's. @param {string} tag */
export function chooseLanguage(tag) {
  prefer("language", tag);
  location.reload();
}

/**
 * What the client says. `{name}` stands for a value; `n` chooses between one and several.
 *
 * @param {keyof typeof texts} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = /** @type {Text} */ (texts[key]);
  const chosen = typeof text === "string" ? text : plurals.select(Number(values.n)) === "one" ? text.one : text.other;
  return chosen.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
const seconds = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "long" });
const dayOfYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long" });
const dayOfAnyYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(locale, { day: "2-digit", month: "2-digit", year: "2-digit" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const list = new Intl.ListFormat(locale, { type: "disjunction" });

/** @param {string} time */
export const clockTime = (time) => clock.format(new Date(time));
/** @param {string} time */
export const exactTime = (time) => exact.format(new Date(time));
/** @param {string} time */
export const secondsTime = (time) => seconds.format(new Date(time));
/** @param {(string | number)[]} items */
export const either = (items) => list.format(items.map(String));

/** The day in local time, to compare with others. @param {string} time */
export const dayOf = (time) => new Date(time).toDateString();

/** Whole days since then: 0 is today. */
function daysAgo(/** @type {Date} */ then) {
  const [today, day] = [new Date(), new Date(then)].map((date) => date.setHours(12, 0, 0, 0));
  return Math.round((today - day) / DAY);
}

/** A day as a heading: today, yesterday, Monday, 3 May. @param {string} time */
export function dayName(time) {
  const date = new Date(time);
  const ago = daysAgo(date);
  if (ago === 0 || ago === 1) return capital(relative.format(-ago, "day"));
  if (ago > 1 && ago < 7) return capital(weekday.format(date));
  return (date.getFullYear() === new Date().getFullYear() ? dayOfYear : dayOfAnyYear).format(date);
}

/** A short time for lists: the hour if it is today, else the weekday or the date. @param {string} time */
export function shortTime(time) {
  const date = new Date(time);
  const ago = daysAgo(date);
  if (ago === 0) return clock.format(date);
  return ago > 0 && ago < 7 ? weekday.format(date) : short.format(date);
}

/** How long ago: 5 minutes ago, yesterday. @param {string} time */
export function since(time) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(time)) / MINUTE));
  if (minutes < 60) return relative.format(-minutes, "minute");
  if (minutes < 24 * 60) return relative.format(-Math.round(minutes / 60), "hour");
  return relative.format(-daysAgo(new Date(time)), "day");
}

const capital = (/** @type {string} */ text) => text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
