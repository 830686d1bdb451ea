// One handset: what it receives, as it comes; what it answers; how it behaves.

import { behave, inbox, send } from "./api.js";
import { received, sent } from "./bubble.js";

const template = document.getElementById("handset");
const LONG_POLL = 20; // seconds
const SHORT_POLL = 1000; // milliseconds
const PAUSES = [500, 1000, 2000, 5000];
const KEPT = 500;
const sleep = (time) => new Promise((done) => setTimeout(done, time));
const percent = new Intl.NumberFormat("en", { style: "percent" });

/**
 * A handset that is on. `crowded` tells whether there are too many for each to hold a connection,
 * of which a browser has few; `removed` is called once it has been taken away.
 */
export function makeHandset(phone, crowded, removed) {
  const element = template.content.firstElementChild.cloneNode(true);
  const part = (selector) => element.querySelector(selector);
  const log = part(".log");
  const reply = part(".reply");
  const end = new AbortController();
  const told = {};
  let chosen = false; // whether the addressee was typed in
  let behaviour;

  element.setAttribute("aria-label", `Phone ${phone}`);
  part("h2").textContent = phone;
  part(".remove").setAttribute("aria-label", `Remove ${phone}`);
  log.setAttribute("aria-label", `Texts of ${phone}`);

  const say = (text, wrong = false) => {
    part(".status").textContent = text;
    part(".status").classList.toggle("wrong", wrong);
  };

  function add(bubble) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(bubble);
    while (log.children.length > KEPT) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function show(sms) {
    add(received(sms, say));
    if (!chosen) reply.elements.to.value = sms.from;
  }

  function showBehaviour(now) {
    behaviour = now;
    for (const input of element.querySelectorAll("header input, .behaviour input")) {
      if (input.type === "checkbox") input.checked = now[input.name];
      else input.value = now[input.name];
      if (input.type === "range") showRate(input);
    }
    part(".state").textContent = described(now);
    element.classList.toggle("unreachable", !now.reachable);
  }

  async function change(changes) {
    try {
      showBehaviour(await behave(phone, changes));
      Object.assign(told, changes);
      say("");
    } catch (fault) {
      takeBack(fault.message);
    }
  }

  function takeBack(why) {
    say(why, true);
    if (behaviour) showBehaviour(behaviour);
  }

  async function receive() {
    let shown = new Set(); // ids with their times: ids start again at 1 with the server
    let [after, whole, lookedAt, failures] = [0, true, 0, 0];
    while (!end.signal.aborted) {
      const live = !document.hidden && !crowded();
      try {
        if (failures || !lookedAt) showBehaviour(await behave(phone, told));
        const items = await inbox(phone, whole ? 0 : after, whole || !live ? 0 : LONG_POLL, end.signal);
        if (failures) say("Connected again.");
        failures = 0;
        items.filter((sms) => !shown.has(key(sms))).forEach(show);
        shown = new Set([...(whole ? [] : shown), ...items.map(key)]);
        if (whole) lookedAt = Date.now();
        log.setAttribute("aria-live", "polite"); // from now on: nobody wants the whole inbox read out
        if (items.length || whole) after = items.at(-1)?.id ?? 0;
        whole = !items.length && Date.now() - lookedAt > LONG_POLL * 900;
        if (!live && !items.length) await sleep(SHORT_POLL);
      } catch (fault) {
        if (end.signal.aborted) return;
        if (!failures) say(`Connection lost: ${fault.message}. Trying again …`, true);
        whole = true;
        await sleep(PAUSES[Math.min(failures++, PAUSES.length - 1)]);
      }
    }
  }

  element.addEventListener("input", ({ target }) => {
    if (target.type === "range") showRate(target);
    if (target.name === "to") chosen = target.value !== "";
  });
  element.addEventListener("change", ({ target }) => {
    if (target.type === "checkbox") change({ [target.name]: target.checked });
    else if (target.closest(".behaviour") && target.checkValidity()) change({ [target.name]: Number(target.value) });
    else if (target.closest(".behaviour")) takeBack(target.validationMessage);
  });
  reply.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      reply.requestSubmit();
    }
  });
  reply.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { to, text } = reply.elements;
    const empty = [to, text].find((field) => !field.value.trim());
    if (empty) {
      say(empty === to ? "Whom to? Nobody has written to this phone yet." : "There is nothing to send.", true);
      empty.focus();
      return;
    }
    const [number, words] = [to.value.trim(), text.value];
    try {
      await send(phone, number, words);
      text.value = "";
      add(sent(number, words));
      say("Sent.");
    } catch (fault) {
      say(`Not sent: ${fault.message}`, true);
    }
  });
  part(".remove").addEventListener("click", () => {
    end.abort();
    removed();
  });

  receive();
  return element;
}

function showRate(input) {
  input.ariaValueText = input.nextElementSibling.textContent = percent.format(input.value);
}

const key = (sms) => `${sms.id} ${sms.received_at}`;

/** What is unusual about a handset. */
function described({ reachable, delay_ms, loss, duplicate, reorder, multipart }) {
  const rates = Object.entries({ loss, duplicate, reorder }).filter(([, rate]) => rate);
  return [
    reachable ? "reachable" : "no network",
    ...(delay_ms ? [`${delay_ms} ms late`] : []),
    ...rates.map(([name, rate]) => `${name} ${percent.format(rate)}`),
    ...(multipart ? [] : ["multipart off"]),
  ].join(" · ");
}
