// A text as it looks. All that comes from elsewhere is set as text, never as markup.

const template = document.getElementById("bubble");
const CODE = /(?<![\d+])\d{6}(?!\d)/;

/** A text that has come in. `copied` is told what the button has done. */
export function received(sms, copied) {
  const bubble = make(sms.from, sms.received_at, sms.parts === 1 ? "" : `${sms.parts} SMS`, sms.text);
  const code = CODE.exec(sms.text);
  if (code) {
    const mark = document.createElement("mark");
    mark.textContent = code[0];
    bubble.classList.add("with-code");
    bubble
      .querySelector(".text")
      .replaceChildren(sms.text.slice(0, code.index), mark, sms.text.slice(code.index + code[0].length));
    bubble.append(copyButton(mark, copied));
  }
  return bubble;
}

/** A text that this handset has sent. */
export function sent(to, text) {
  const bubble = make(`to ${to}`, new Date().toISOString(), "", text);
  bubble.classList.add("sent");
  return bubble;
}

function make(who, when, size, text) {
  const bubble = template.content.firstElementChild.cloneNode(true);
  const time = bubble.querySelector("time");
  bubble.querySelector("bdi").textContent = who;
  time.dateTime = when;
  time.textContent = new Date(when).toLocaleTimeString([], { timeStyle: "medium" });
  bubble.querySelector(".meta span").textContent = size;
  bubble.querySelector(".text").textContent = text;
  return bubble;
}

function copyButton(mark, copied) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy code";
  button.setAttribute("aria-label", `Copy code ${mark.textContent}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(mark.textContent);
      copied(`Copied ${mark.textContent}.`);
    } catch {
      // No clipboard without HTTPS, but on this machine; nor without leave.
      getSelection().selectAllChildren(mark);
      copied("The code is selected: copy it with the keyboard.");
    }
  });
  return button;
}
