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

/** Remember a preference; an empty value forgets it. @param {string} name @param {string} value */
export function prefer(name, value) {
  try {
    if (value) localStorage.setItem(PREFIX + name, value);
    else localStorage.removeItem(PREFIX + name);
  } catch {
    // Without storage the preference lasts until the page is loaded again.
  }
}
