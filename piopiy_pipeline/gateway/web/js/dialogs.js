/**
 * Questions before something is done that cannot be taken back, and the form of a transfer. Both are modal dialogs of
 * the page: the browser keeps the keyboard in them and gives it back afterwards.
 */

import { byId, setText } from "./dom.js";

/** @param {any} dialog @returns {Promise<boolean>} whether it was left with its "yes" */
async function shown(dialog) {
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "yes";
}

/**
 * @param {string} question
 * @param {string} verb what the button says that does it
 * @returns {Promise<boolean>}
 */
export function confirmed(question, verb) {
  setText(byId("confirm-text"), question);
  setText(byId("confirm-yes"), verb);
  return shown(byId("confirm"));
}

/**
 * Ask to whom a caller is to be transferred.
 * @param {string} who the call, for people
 * @returns {Promise<{to: string, warm: boolean}|null>} null: to nobody
 */
export async function transferTarget(who) {
  setText(byId("transfer-title"), `Transfer ${who}`);
  byId("transfer-to").value = "";
  const wanted = await shown(byId("transfer"));
  const to = byId("transfer-to").value.trim();
  return wanted && to ? { to, warm: byId("transfer-warm").checked } : null;
}
