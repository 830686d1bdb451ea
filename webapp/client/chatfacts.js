// Functions of chats alone: their order, which list shows them, how many messages count as unread.

/** @typedef {import("./sdk.js").Chat} Chat */
/** @typedef {import("./sdk.js").OutboxEntry} OutboxEntry */
/** @typedef {"chats" | "archived" | "requests"} Folder */

export const isMuted = (/** @type {Chat} */ chat) =>
  chat.muted_until !== null && Date.parse(chat.muted_until) > Date.now();

/** The list that a chat stands in. @param {Chat} chat @returns {Folder} */
export const folderOf = ({ archived, request }) => (request ? "requests" : archived ? "archived" : "chats");

/** Whether a chat is shown: with a search, if it matches, in any folder; without one, if it is in the folder.
 * @param {Chat} chat @param {string} search @param {Folder} folder */
export function matches(chat, search, folder) {
  const query = search.trim().toLocaleLowerCase();
  if (!query) return folderOf(chat) === folder;
  const digits = query.replace(/\D/g, "");
  const name = chat.peer.display_name.toLocaleLowerCase();
  return name.includes(query) || (digits.length > 1 && (chat.peer.phone ?? "").includes(digits.replace(/^0/, "")));
}

/** Sort chats: pinned ones first, then by the time of the last message, sent or waiting, newest first.
 * @param {Iterable<Chat>} chats @param {OutboxEntry[]} outbox oldest first */
export function inOrder(chats, outbox) {
  const waiting = new Map(outbox.map(({ chat_id, queued_at }) => [chat_id, queued_at]));
  const activity = (/** @type {Chat} */ { id, updated_at }) => Date.parse(waiting.get(id) ?? updated_at);
  return [...chats].sort(
    (one, other) => Number(other.pinned) - Number(one.pinned) || activity(other) - activity(one),
  );
}

/** How many messages wait to be read in chats that are neither muted, archived nor requests.
 * @param {Iterable<Chat>} chats */
export function unreadIn(chats) {
  let sum = 0;
  for (const chat of chats) if (folderOf(chat) === "chats" && !isMuted(chat)) sum += chat.unread;
  return sum;
}

/** The fields of a chat that change with its messages. @param {Chat} chat */
export const newsOf = ({ last_seq, last_message, unread, updated_at }) => ({
  last_seq,
  last_message,
  unread,
  updated_at,
});
