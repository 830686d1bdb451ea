// One's devices: which are signed in, since when, and how to sign them out.

import { fill, h } from "./dom.js";
import { exactTime, since, t } from "./i18n.js";
import { reasonOf, toast } from "./overlay.js";

/** @typedef {import("./sdk.js").Duologue} Duologue */
/** @typedef {import("./sdk.js").Session} Session */

/** @param {Duologue} duologue @param {Element} place */
export async function listDevices(duologue, place) {
  try {
    const { items } = await duologue.sessions();
    const end = (/** @type {() => Promise<void>} */ how) => () => endAndList(duologue, place, how);
    const rows = items.map((session) =>
      device(
        session,
        end(() => duologue.endSession(session.id)),
      ),
    );
    const others = items.length > 1 && endOthers(end(() => duologue.endOtherSessions()));
    fill(place, h("ul", { class: "devices" }, rows), others);
  } catch (fault) {
    fill(place, h("p", {}, reasonOf(fault)));
  }
}

/** @param {Duologue} duologue @param {Element} place @param {() => Promise<void>} end */
async function endAndList(duologue, place, end) {
  try {
    await end();
  } catch (fault) {
    toast(reasonOf(fault));
    return;
  }
  await listDevices(duologue, place);
}

/** @param {() => void} onclick */
const endOthers = (onclick) => h("button", { type: "button", class: "danger", onclick }, t("end_others"));

/** @param {Session} session @param {() => void} end */
function device({ device_name, current, last_seen_at, ip }, end) {
  const name = device_name || "—";
  const seen = t("sessions_seen", { when: since(last_seen_at), ip });
  const what = h(
    "div",
    {},
    h("strong", {}, h("bdi", {}, name)),
    current && h("span", { class: "tag" }, t("sessions_this")),
    h("p", { class: "dim", title: exactTime(last_seen_at) }, seen),
  );
  return h("li", {}, what, !current && endButton(name, end));
}

/** @param {string} name @param {() => void} onclick */
const endButton = (name, onclick) =>
  h("button", { type: "button", "aria-label": t("end_session_of", { name }), onclick }, t("end_session"));
