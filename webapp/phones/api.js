// The simulated phone network, as the server offers it. What it refuses is thrown as an Error with its reason.

/**
 * What a handset received.
 *
 * @typedef {{ id: number, from: string, text: string, received_at: string, parts: number }} Sms
 */
/**
 * How a handset behaves; rates are from 0 to 1.
 *
 * @typedef {{ reachable: boolean, delay_ms: number, loss: number, duplicate: number, reorder: number,
 *   multipart: boolean }} Behaviour
 */

/** The number as the server writes it, which ignores these characters too.
 * @param {string} number */
export const canonical = (number) => number.replace(/[ \-.()/\u00a0\u202f]/g, "");

/** The handsets that the server knows, the latest first. @returns {Promise<string[]>} */
export const phones = async () => (await ask("GET", "")).items;

/**
 * What a handset received after the SMS with that id; the server may wait so many seconds for some.
 *
 * @param {string} phone
 * @param {number} after
 * @param {number} wait
 * @param {AbortSignal} signal
 * @returns {Promise<Sms[]>}
 */
export const inbox = async (phone, after, wait, signal) =>
  (await ask("GET", `/${encodeURIComponent(phone)}/messages?after=${after}&wait=${wait}`, undefined, signal)).items;

/** @param {string} phone @param {string} to @param {string} text */
export const send = (phone, to, text) => ask("POST", `/${encodeURIComponent(phone)}/messages`, { to, text });

/** How a handset behaves after these changes.
 * @param {string} phone @param {Partial<Behaviour>} changes @returns {Promise<Behaviour>} */
export const behave = (phone, changes) => ask("PUT", `/${encodeURIComponent(phone)}`, changes);

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function ask(method, path, body, signal) {
  const content = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const { ok, answer } = await fetched(`/v1/sim/phones${path}`, { method, ...content, ...(signal && { signal }) });
  if (!ok) throw new Error(reason(answer));
  return answer;
}

/** @param {string} url @param {RequestInit} options */
async function fetched(url, options) {
  try {
    const answer = await fetch(url, options);
    return { ok: answer.ok, answer: await answer.json() };
  } catch (fault) {
    throw new Error("the server can't be reached", { cause: fault });
  }
}

/** @param {{ code?: string, detail: string, errors?: Record<string, string> }} problem */
function reason({ code, detail, errors }) {
  const fields = code === "invalid" ? Object.entries(errors ?? {}) : [];
  return fields.map(([name, why]) => `${name}: ${why}`).join("; ") || detail;
}
