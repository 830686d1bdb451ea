// What this browser remembers of how somebody likes it, whoever is signed in.

const PREFIX = "duologue.";

/** @param {string} name */
export function preferred(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return ""; // a browser that may store nothing
  }
}

/** Empty: no longer. @param {string} name @param {string} value */
export function prefer(name, value) {
  try {
    if (value) localStorage.setItem(PREFIX + name, value);
    else localStorage.removeItem(PREFIX + name);
  } catch {
    // It holds for as long as the page does.
  }
}
