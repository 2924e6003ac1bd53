/**
 * Makes and finds elements. Text is always set as text: nothing in this console parses data as HTML.
 */

/**
 * The element with this id.
 * @param {string} id
 * @returns {any} any: each caller knows which element it wrote into the page
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * A new element.
 * @param {string} tag
 * @param {Object<string, any>} [attributes] functions are listeners ("onclick"), false and null leave
 *   the attribute out, true sets it without a value
 * @param {...(Node|string|number|null|false|undefined)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== false && child !== undefined && child !== "") element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Set an attribute or a text only if it differs, because screen readers and transitions react to every write.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Show a sentence, or hide its element if there is none.
 * @param {HTMLElement} element
 * @param {string|null|undefined} text
 */
export function say(element, text) {
  setText(element, text ?? "");
  element.hidden = !text;
}
