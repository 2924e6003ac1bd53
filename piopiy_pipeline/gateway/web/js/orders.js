/**
 * Orders that a button gives: the button is busy until they are answered, and what they change is shown at once, until
 * the gateways tell it themselves.
 */

/** For so long what was ordered is shown, though the gateways have not told it yet. */
const SHOWN_MS = 5_000;

/**
 * Have a button do something, and nothing more until that is done. It keeps the keyboard meanwhile.
 * @param {HTMLElement} button @param {() => Promise<any>} act
 */
export async function busyWhile(button, act) {
  if (isBusy(button)) return;
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  try {
    await act();
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}

/** @param {HTMLElement} button */
export function isBusy(button) {
  return button.getAttribute("aria-busy") === "true";
}

/** What was ordered of one row, and is not told yet. */
export class Ordered {
  /** @type {Map<string, {value: any, until: number}>} */ #changes = new Map();

  /** @param {Object<string, any>} changes */
  note(changes) {
    for (const [name, value] of Object.entries(changes)) this.#changes.set(name, { value, until: performance.now() + SHOWN_MS });
  }

  /**
   * @template {Object<string, any>} T
   * @param {T} heard what the gateways tell
   * @returns {T} the same with what was ordered
   */
  over(heard) {
    const shown = { ...heard };
    for (const [name, { value, until }] of this.#changes) {
      if (heard[name] === value || performance.now() > until) this.#changes.delete(name);
      else Object.assign(shown, { [name]: value });
    }
    return shown;
  }
}
