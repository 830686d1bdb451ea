// Phone numbers as people write and read them. The server has the last word on whether a number is one.

import { COUNTRIES, RESPELLINGS } from "./countries.js";

/**
 * @typedef {{
 *   region: string,
 *   code: string,
 *   lengths: number[],
 *   trunks: string[],
 *   groups: number[],
 *   begins: RegExp | null,
 * }} Country
 */

/** @type {Country[]} */
const countries = COUNTRIES.trim()
  .split("\n")
  .map((line) => {
    const [region, code, lengths, trunks, groups, begins] = line.split(" ");
    return {
      region,
      code,
      lengths: lengths.split(",").map(Number),
      trunks: trunks === "-" ? [] : trunks.split(","),
      groups: groups === "-" ? [] : [...groups].map(Number),
      begins: begins ? new RegExp(`^(?:${begins})`) : null,
    };
  });
const byRegion = new Map(countries.map((country) => [country.region, country]));

/** Of the regions that share a code, the one that a number belongs to if nothing else tells. */
const MAIN = new Set(["US", "RU", "GB", "IT", "NO", "AU", "MA", "RE", "FI", "GP", "CW", "SH"]);

export const countryOf = (/** @type {string} */ region) => byRegion.get(region);

/** All countries with their names in a language, in its order. @param {string} language */
export function namedCountries(language) {
  const names = new Intl.DisplayNames(language, { type: "region" });
  const collator = new Intl.Collator(language);
  return countries
    .map((country) => ({ ...country, name: names.of(country.region) ?? country.region }))
    .sort((one, other) => collator.compare(one.name, other.name));
}

/** Where the user seems to be. */
export function likelyRegion() {
  for (const language of navigator.languages) {
    const { region } = new Intl.Locale(language).maximize();
    if (region && byRegion.has(region)) return region;
  }
  return "US";
}

/** The digits of a number, whatever stands between them, in any script. @param {string} typed */
export function digitsOf(typed) {
  // East Asian keyboards have a plus of full width, and address books put invisible marks around what is copied.
  const text = typed.normalize("NFKC").replace(/\p{Cf}/gu, "");
  const plus = /^\s*(?:\+|00)/u.exec(text)?.[0] ?? "";
  const digits = [...text.slice(plus.length)]
    .filter((character) => /\p{Nd}/u.test(character))
    .map(latin)
    .join("");
  return { international: plus !== "", digits };
}

/** The Latin digit of any script's digit: in Unicode they follow their zero in order. */
function latin(/** @type {string} */ digit) {
  let zero = /** @type {number} */ (digit.codePointAt(0));
  const value = zero;
  while (value - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero -= 1;
  return String(value - zero);
}

/** The country of an international number, given without its +. @param {string} digits */
export function countryIn(digits) {
  for (const length of [3, 2, 1]) {
    const sharing = countries.filter(({ code }) => code === digits.slice(0, length));
    if (!sharing.length || digits.length < length) continue;
    const rest = digits.slice(length);
    return (
      sharing.find(({ begins }) => begins?.test(rest)) ?? sharing.find(({ region }) => MAIN.has(region)) ?? sharing[0]
    );
  }
  return undefined;
}

/**
 * What was typed, with a country chosen beside it.
 *
 * @param {string} text
 * @param {string} region
 * @returns {{ phone: string, country: Country | undefined, problem: "empty" | "short" | "long" | "country" | null }}
 */
export function read(text, region) {
  const { international, digits } = digitsOf(text);
  const country = international ? countryIn(digits) : byRegion.get(region);
  if (!digits) return { phone: "", country, problem: "empty" };
  if (!country) return { phone: `+${digits}`, country, problem: digits.length < 3 ? "short" : "country" };
  const written = international ? digits.slice(country.code.length) : digits;
  const fits = (/** @type {string} */ number) => country.lengths.includes(number.length);
  // A number may begin with 1 or 8 by itself, but not with 0; at home not with a longer trunk prefix either.
  const never = international ? /^0/ : /^0|../;
  const trunk = country.trunks.find(
    (one) => written.startsWith(one) && fits(written.slice(one.length)) && (!fits(written) || never.test(one)),
  );
  const national = written.slice(trunk?.length ?? 0);
  const longest = Math.max(...country.lengths);
  const phone = `+${country.code}${national}`;
  const present = respelt(phone);
  if (present) return { phone: present, country, problem: null };
  return { phone, country, problem: fits(national) ? null : national.length > longest ? "long" : "short" };
}

/** What a number in an old spelling is now. @param {string} phone */
function respelt(phone) {
  const spelling = RESPELLINGS.find(({ old }) => old.test(phone));
  return spelling && phone.replace(spelling.old, spelling.present);
}

/** A number in groups: +33 6 12 34 56 78. @param {string} phone in E.164 */
export function pretty(phone) {
  const digits = phone.slice(1);
  const country = countryIn(digits);
  if (!country) return phone;
  const rest = digits.slice(country.code.length);
  const whole = country.groups.reduce((sum, size) => sum + size, 0);
  const groups = whole === rest.length ? split(rest, country.groups) : rest.match(/\d{1,3}(?=(?:\d{3})*$)/g);
  return [`+${country.code}`, ...(groups ?? [])].join("\u00a0");
}

/** @param {string} digits @param {number[]} sizes */
function split(digits, sizes) {
  let end = 0;
  return sizes.map((size) => {
    end += size;
    return digits.slice(end - size, end);
  });
}
