// A new chat, with any phone number.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { openDialog, reasonOf } from "./overlay.js";
import { phoneField } from "./phonefield.js";

/** @param {import("./model.js").Model} model @param {(chatId: string) => void} go */
export function newChat(model, go) {
  const field = phoneField();
  const button = h("button", { class: "primary" }, t("start_chat"));
  const form = h("form", { noValidate: true }, field.element, h("p", { class: "dim" }, t("new_chat_hint")), button);
  const dialog = openDialog(t("new_chat"), [form]);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const phone = field.number();
    if (!phone || button.disabled) return;
    button.disabled = true;
    try {
      const { id } = await model.open(phone);
      dialog.close();
      go(id);
    } catch (fault) {
      field.refuse(reasonOf(fault));
    }
    button.disabled = false;
  });
  field.focus();
}
