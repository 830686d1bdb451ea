// One handset: what it receives, as it comes; what it answers; how it behaves.

import { send } from "./api.js";
import { BehaviourFields } from "./behaviour.js";
import { received, sent } from "./bubble.js";
import { copyOf, part } from "./page.js";
import { Receiver } from "./receiver.js";

const KEPT = 500; // texts on the page
const AT_END = 40; // pixels from the end that still are the end

/** A handset that is on. */
export class Handset {
  element = copyOf("handset");
  #phone;
  #log = part(this.element, ".log", HTMLElement);
  #status = part(this.element, ".status", HTMLElement);
  #reply = part(this.element, ".reply", HTMLFormElement);
  #to = part(this.element, "[name=to]", HTMLInputElement);
  #text = part(this.element, "[name=text]", HTMLTextAreaElement);
  /** Whether the addressee was typed in. */
  #chosen = false;
  #end = new AbortController();

  /**
   * @param {string} phone
   * @param {() => boolean} crowded tells whether there are too many for each to hold a connection, of which a browser
   *   has few
   * @param {() => void} removed is called once it has been taken away
   */
  constructor(phone, crowded, removed) {
    this.#phone = phone;
    this.#label();
    this.#listen(removed);
    const say = this.#say.bind(this);
    const behaviour = new BehaviourFields(this.element, phone, say);
    const owner = {
      phone,
      say,
      isLive: () => !document.hidden && !crowded(),
      connected: () => behaviour.connect(),
      arrived: this.#show.bind(this),
      // From the first look on: nobody wants the whole inbox read out.
      looked: () => this.#log.setAttribute("aria-live", "polite"),
    };
    new Receiver(owner, this.#end.signal).receive();
  }

  #label() {
    const phone = this.#phone;
    this.element.setAttribute("aria-label", `Phone ${phone}`);
    part(this.element, "h2", HTMLElement).textContent = phone;
    part(this.element, ".remove", HTMLElement).setAttribute("aria-label", `Remove ${phone}`);
    this.#log.setAttribute("aria-label", `Texts of ${phone}`);
  }

  /** @param {() => void} removed */
  #listen(removed) {
    this.#to.addEventListener("input", () => {
      this.#chosen = this.#to.value !== "";
    });
    this.#reply.addEventListener("keydown", (event) => this.#pressed(event));
    this.#reply.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    part(this.element, ".remove", HTMLElement).addEventListener("click", () => {
      this.#end.abort();
      removed();
    });
  }

  /** @param {string} text @param {boolean} [wrong] */
  #say(text, wrong = false) {
    this.#status.textContent = text;
    this.#status.classList.toggle("wrong", wrong);
  }

  /** @param {import("./api.js").Sms} sms */
  #show(sms) {
    this.#add(received(sms, (what) => this.#say(what)));
    if (!this.#chosen) this.#to.value = sms.from;
  }

  /** @param {HTMLElement} bubble */
  #add(bubble) {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
    log.append(bubble);
    while (log.children.length > KEPT) log.firstElementChild?.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#reply.requestSubmit();
  }

  async #send() {
    const [to, text] = [this.#to.value.trim(), this.#text.value];
    if (!to) return this.#miss(this.#to, "Whom to? Nobody has written to this phone yet.");
    if (!text.trim()) return this.#miss(this.#text, "There is nothing to send.");
    try {
      await send(this.#phone, to, text);
      this.#text.value = "";
      this.#add(sent(to, text));
      this.#say("Sent.");
    } catch (fault) {
      this.#say(`Not sent: ${/** @type {Error} */ (fault).message}`, true);
    }
  }

  /** @param {HTMLElement} field @param {string} what */
  #miss(field, what) {
    this.#say(what, true);
    field.focus();
  }
}
