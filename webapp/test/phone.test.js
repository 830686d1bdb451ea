import assert from "node:assert/strict";
import { test } from "node:test";
import { below, chance, oneOf } from "../../clients/javascript/test/chance.js";
import { countryIn, digitsOf, namedCountries, pretty, read } from "../client/phone.js";

/** What is typed, where, and the number. @type {[string, string, string][]} */
const NUMBERS = [
  ["06 12 34 56 78", "FR", "+33612345678"],
  ["+33 (0)6 12 34 56 78", "US", "+33612345678"],
  ["0033 6.12.34.56.78", "DE", "+33612345678"],
  ["＋４４ ７７００ ９００１２３", "FR", "+447700900123"],
  ["٠٦١٢٣٤٥٦٧٨", "FR", "+33612345678"],
  ["\u202a+33612345678\u202c", "FR", "+33612345678"],
  ["8 029 123 45 67", "BY", "+375291234567"],
];
for (const [typed, region, phone] of NUMBERS) {
  test(`${typed} in ${region} is ${phone}`, () => {
    assert.deepEqual({ ...read(typed, region), country: undefined }, { phone, problem: null, country: undefined });
  });
}

test("what is wrong with a number is told", () => {
  assert.equal(read("", "FR").problem, "empty");
  assert.equal(read("06 12", "FR").problem, "short");
  assert.equal(read("06 12 34 56 78 90 12", "FR").problem, "long");
  assert.equal(read("+999 123 456", "FR").problem, "country");
});

test("a number is written in its country's groups, with spaces that don't break", () => {
  assert.equal(pretty("+33612345678"), "+33\u00a06\u00a012\u00a034\u00a056\u00a078");
  assert.equal(pretty("+999123"), "+999123");
});

test("writing a number in groups loses and adds no digit, in any country, and it can be read again", () => {
  const random = chance(11);
  const countries = namedCountries("en");
  for (let round = 0; round < 5000; round += 1) {
    const { code, lengths } = oneOf(random, countries);
    const rest = Array.from({ length: oneOf(random, lengths) }, () => 1 + below(random, 9)).join("");
    const phone = `+${code}${rest}`;
    assert.equal(pretty(phone).replaceAll("\u00a0", ""), phone);
    assert.equal(read(pretty(phone), "FR").phone, read(phone, "FR").phone);
  }
});

test("each country is found by its code", () => {
  for (const { code } of namedCountries("en")) assert.equal(countryIn(`${code}555`)?.code, code);
});

test("digits of any script are digits", () => {
  for (const zero of ["0", "٠", "۰", "०", "๐", "０"]) {
    const first = /** @type {number} */ (zero.codePointAt(0));
    const typed = Array.from({ length: 10 }, (_, value) => String.fromCodePoint(first + value)).join("");
    assert.deepEqual(digitsOf(typed), { international: false, digits: "0123456789" });
  }
});
