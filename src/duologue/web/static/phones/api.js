// The simulated phone network, as the server offers it. What it refuses is thrown as an Error with its reason.

/** The number as the server writes it: it forgives these characters too, but says so to nobody. */
export const canonical = (number) => number.replace(/[ \-.()/\u00a0\u202f]/g, "");

/** The handsets that the server knows, the latest first. */
export const phones = async () => (await ask("GET", "")).items;

/** What a handset received after the SMS with that id; the server may wait so many seconds for some. */
export const inbox = async (phone, after, wait, signal) =>
  (await ask("GET", `/${encodeURIComponent(phone)}/messages?after=${after}&wait=${wait}`, undefined, signal)).items;

export const send = (phone, to, text) => ask("POST", `/${encodeURIComponent(phone)}/messages`, { to, text });

/** How a handset behaves after these changes. */
export const behave = (phone, changes) => ask("PUT", `/${encodeURIComponent(phone)}`, changes);

async function ask(method, path, body, signal) {
  const options = { method, signal };
  if (body) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let answer, content;
  try {
    answer = await fetch(`/v1/sim/phones${path}`, options);
    content = await answer.json();
  } catch (fault) {
    throw new Error("the server can't be reached", { cause: fault });
  }
  if (!answer.ok) throw new Error(reason(content));
  return content;
}

function reason({ code, detail, errors }) {
  const fields = code === "invalid" ? Object.entries(errors ?? {}) : [];
  return fields.map(([name, why]) => `${name}: ${why}`).join("; ") || detail;
}
