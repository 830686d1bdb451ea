// The page's own elements, by their names.

/**
 * An element of the page.
 *
 * @template {typeof Element} Kind
 * @param {string} id
 * @param {Kind} kind
 * @returns {InstanceType<Kind>}
 */
export function byId(id, kind) {
  return checked(document.getElementById(id), kind, `#${id}`);
}

/**
 * A part of an element.
 *
 * @template {typeof Element} Kind
 * @param {ParentNode} whole
 * @param {string} selector
 * @param {Kind} kind
 * @returns {InstanceType<Kind>}
 */
export function part(whole, selector, kind) {
  return checked(whole.querySelector(selector), kind, selector);
}

/** A copy of the element in a template of the page. @param {string} id */
export function copyOf(id) {
  const { content } = byId(id, HTMLTemplateElement);
  return checked(content.firstElementChild?.cloneNode(true), HTMLElement, id);
}

/**
 * @template {typeof Element} Kind
 * @param {unknown} found
 * @param {Kind} kind
 * @param {string} name
 * @returns {InstanceType<Kind>}
 */
function checked(found, kind, name) {
  if (!(found instanceof kind)) throw new Error(`The page has no ${name}.`);
  return /** @type {InstanceType<Kind>} */ (found);
}
