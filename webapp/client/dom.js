// Make elements from plain values. What people wrote becomes a text node, never markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties] `onclick` and the like are listeners; `class`, `role`, `aria-…` and
 *   `data-…` are attributes; all else are properties of the element. What is null or undefined is left out.
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  fill(element, ...children);
  return element;
}

/** @param {Element} element @param {string} name @param {any} value */
function set(element, name, value) {
  if (value === null || value === undefined) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (isAttribute(name)) element.setAttribute(name, value);
  else Object.assign(element, { [name]: value });
}

const isAttribute = (/** @type {string} */ name) => ["class", "role", "for"].includes(name) || name.includes("-");

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  archive: "M4 8h16v11H4zM3 4h18v4H3zM9 12h6",
  arrow: "M19 12H5m6-6-6 6 6 6",
  check: "m5 12.5 4.5 4.5L19 7.5",
  checks: "m2 12.5 4.5 4.5L16 7.5M12 16.5l.5.5L22 7.5",
  clock: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  down: "M12 5v14m-6-6 6 6 6-6",
  edit: "M12 20h9M4 20l1-4L16.5 4.5l3 3L8 19z",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6M12 2v3m0 14v3M2 12h3m14 0h3M5 5l2 2m10 10 2 2M19 5l-2 2M7 17l-2 2",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  mute: "M6 16V11a6 6 0 0 1 9.5-4.9M18 10.5V16l1.5 2H8M4 4l16 16M10 21h4",
  pin: "M9 3h6l-1 7 4 4H6l4-4zM12 14v7",
  reply: "M9 6 3 12l6 6M3 12h11a7 7 0 0 1 7 7",
  route:
    "M6 21a2 2 0 1 0 0-4 2 2 0 0 0 0 4M18 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4M8 19h7a3.5 3.5 0 0 0 0-7H9a3.5 3.5 0 0 1 0-7h7",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13m5 11.5L20 20",
  send: "M12 19V5m-6 6 6-6 6 6",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  warning: "M12 3 2 20h20zM12 10v4m0 3v.01",
};

/** An icon; it says nothing to a screen reader. @param {keyof typeof PATHS} name */
export function icon(name) {
  const [svg, path] = [document.createElementNS(SVG, "svg"), document.createElementNS(SVG, "path")];
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button that is an icon.
 *
 * @param {keyof typeof PATHS} name
 * @param {string} label
 * @param {Record<string, any>} [more]
 */
export const iconButton = (name, label, more = {}) =>
  h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, ...more }, icon(name));

/** Replace what an element holds. @param {Element} element @param {...(Child | Child[])} children */
export function fill(element, ...children) {
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.replaceChildren(.../** @type {(Node | string)[]} */ (shown));
}

/** Run once before the next frame, however often it is called until then. @param {() => void} work */
export function oncePerFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    // A hidden page has no frames, but its title and its notifications go on.
    const run = () => {
      waiting = false;
      work();
    };
    if (document.hidden) setTimeout(run);
    else requestAnimationFrame(run);
  };
}
