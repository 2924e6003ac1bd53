/**
 * Rows of a table that stay the same elements while what they show changes: so the keyboard stays where it is, and a
 * screen reader is not interrupted.
 */

/**
 * @template T
 */
export class Rows {
  /** @type {Map<string, {node: HTMLElement, update: (one: T) => void}>} */ #rows = new Map();

  /**
   * @param {HTMLElement} place the body of the table
   * @param {(one: T) => {node: HTMLElement, update: (one: T) => void}} make
   * @param {(one: T) => string} keyOf
   */
  constructor(place, make, keyOf) {
    this.place = place;
    this.make = make;
    this.keyOf = keyOf;
  }

  /** @param {T[]} all what there is, in order */
  show(all) {
    const keys = new Set(all.map(this.keyOf));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      if (row.node.contains(document.activeElement)) this.#focusBeside(row.node);
      row.node.remove();
      this.#rows.delete(key);
    }
    all.forEach((one, index) => {
      const key = this.keyOf(one);
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, (row = this.make(one)));
      if (this.place.children[index] !== row.node) this.place.insertBefore(row.node, this.place.children[index] ?? null);
      row.update(one);
    });
  }

  /** @param {HTMLElement} row one that goes, with the keyboard in it */
  #focusBeside(row) {
    const beside = row.nextElementSibling ?? row.previousElementSibling;
    const next = beside?.querySelector("a, button:not(:disabled)") ?? row.closest("section");
    if (next instanceof HTMLElement) next.focus();
  }
}
