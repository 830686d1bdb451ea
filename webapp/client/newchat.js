// A new chat, with any phone number.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { openDialog, reasonOf } from "./overlay.js";
import { PhoneField } from "./phonefield.js";

/** @param {import("./model.js").Model} model @param {(chatId: string) => void} go */
export function newChat(model, go) {
  const field = new PhoneField();
  const button = h("button", { class: "primary" }, t("start_chat"));
  const form = h("form", { noValidate: true }, field.element, h("p", { class: "dim" }, t("new_chat_hint")), button);
  const dialog = openDialog(t("new_chat"), [form]);
  const open = async (/** @type {string} */ phone) => {
    const { id } = await model.open(phone);
    dialog.close();
    go(id);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field, button, open);
  });
  field.focus();
}

/** @param {PhoneField} field @param {HTMLButtonElement} button @param {(phone: string) => Promise<void>} open */
async function submit(field, button, open) {
  const phone = field.number();
  if (!phone || button.disabled) return;
  button.disabled = true;
  try {
    await open(phone);
  } catch (fault) {
    field.refuse(reasonOf(fault));
  }
  button.disabled = false;
}
