// News while the page isn't looked at: the unread count in the title and on the icon, and notifications if wanted.

import { isMuted } from "./chatfacts.js";
import { oncePerFrame } from "./dom.js";
import { t } from "./i18n.js";
import { nameOf } from "./people.js";
import { prefer, preferred } from "./preferences.js";
import { preview } from "./text.js";

/** @typedef {import("./model.js").Model} Model */

const WANTED = "notifications";

export const notificationsOn = () =>
  preferred(WANTED) === "yes" && "Notification" in window && Notification.permission === "granted";

/** Turn notifications on or off. Returns whether that was possible. @param {boolean} wanted */
export async function setNotifications(wanted) {
  prefer(WANTED, wanted ? "yes" : "");
  if (!wanted) return true;
  return "Notification" in window && (await Notification.requestPermission()) === "granted";
}

/** @param {Model} model @param {(chatId: string) => void} go @param {AbortSignal} signal */
export function tellNews(model, go, signal) {
  const count = oncePerFrame(() => {
    const { unread } = model;
    document.title = unread ? `(${unread}) Duologue` : "Duologue";
    navigator.setAppBadge?.(unread).catch(() => {});
  });
  model.addEventListener("chats", count, { signal });
  model.addEventListener("incoming", (event) => notify(/** @type {CustomEvent} */ (event).detail, go), { signal });
  count();
}

/** @param {import("./model.js").News} news @param {(chatId: string) => void} go */
function notify({ chat, message }, go) {
  if (!document.hidden || isMuted(chat) || !notificationsOn()) return;
  const options = {
    body: preview(message.text),
    tag: chat.id,
    lang: document.documentElement.lang,
    icon: "/docs/icon.svg",
  };
  try {
    const notice = new Notification(nameOf(chat.peer) || t("new_messages"), options);
    notice.onclick = () => {
      window.focus();
      notice.close();
      go(chat.id);
    };
  } catch {
    // Some telephones only let a service worker do this.
  }
}
