// While SMS only go to simulated phones, these can stand beside the client: a whole conversation in one window.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Say that there are simulated phones, and offer them.
 *
 * @param {import("./sdk.js").Duologue} duologue
 * @param {Element} place
 */
export async function offerPhones(duologue, place) {
  const simulated = await duologue.request("GET", "/v1/sim/phones").catch(() => null);
  if (!simulated) return;
  const beside = h("button", { type: "button", class: "link wide" }, t("phones_beside"));
  const pressed = () => beside.setAttribute("aria-pressed", String(shown() !== null));
  beside.addEventListener("click", () => {
    toggle();
    pressed();
  });
  pressed();
  fill(place, t("phones_hint"), " ", beside, " ", h("a", { href: "/phones", target: "_blank" }, t("open_phones")));
}

const shown = () => document.querySelector("body > .phones");

function toggle() {
  const pane = shown();
  if (pane) pane.remove();
  else document.body.append(h("aside", { class: "phones" }, h("iframe", { src: "/phones", title: t("phones") })));
}
