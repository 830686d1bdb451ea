// A text as it looks. All that comes from elsewhere is set as text, never as markup.

import { copyOf, part } from "./page.js";

const CODE = /(?<![\d+])\d{6}(?!\d)/;

/** A text that has come in. `copied` is told what the button has done.
 * @param {import("./api.js").Sms} sms @param {(what: string) => void} copied */
export function received(sms, copied) {
  const bubble = make(sms.from, sms.received_at, sms.parts === 1 ? "" : `${sms.parts} SMS`, sms.text);
  const code = CODE.exec(sms.text);
  if (code) addCode(bubble, code, copied);
  return bubble;
}

/** A text that this handset has sent. @param {string} to @param {string} text */
export function sent(to, text) {
  const bubble = make(`to ${to}`, new Date().toISOString(), "", text);
  bubble.classList.add("sent");
  return bubble;
}

/** @param {string} who @param {string} when @param {string} size @param {string} text */
function make(who, when, size, text) {
  const bubble = copyOf("bubble");
  const time = part(bubble, "time", HTMLTimeElement);
  part(bubble, "bdi", HTMLElement).textContent = who;
  time.dateTime = when;
  time.textContent = new Date(when).toLocaleTimeString([], { timeStyle: "medium" });
  part(bubble, ".meta span", HTMLElement).textContent = size;
  part(bubble, ".text", HTMLElement).textContent = text;
  return bubble;
}

/** Mark the code in a text, and add a button that copies it.
 * @param {HTMLElement} bubble @param {RegExpExecArray} code @param {(what: string) => void} copied */
function addCode(bubble, { 0: digits, index, input }, copied) {
  const mark = document.createElement("mark");
  mark.textContent = digits;
  bubble.classList.add("with-code");
  part(bubble, ".text", HTMLElement).replaceChildren(input.slice(0, index), mark, input.slice(index + digits.length));
  bubble.append(copyButton(mark, digits, copied));
}

/** @param {HTMLElement} mark @param {string} code @param {(what: string) => void} copied */
function copyButton(mark, code, copied) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy code";
  button.setAttribute("aria-label", `Copy code ${code}`);
  button.addEventListener("click", () => copy(mark, code, copied));
  return button;
}

/** @param {HTMLElement} mark @param {string} code @param {(what: string) => void} copied */
async function copy(mark, code, copied) {
  try {
    await navigator.clipboard.writeText(code);
    copied(`Copied ${code}.`);
  } catch {
    // Without HTTPS a page has a clipboard on this machine only, and nowhere without the user's leave.
    getSelection()?.selectAllChildren(mark);
    copied("The code is selected: copy it with the keyboard.");
  }
}
