/**
 * The colours: dark, light, or the system's. This is a classic script in the head, so that the page is never
 * painted in the wrong colours first.
 */
(() => {
  "use strict";
  const KEY = "piopiy-theme";
  const NAMES = ["auto", "light", "dark"];

  /** @returns {string} the stored choice; "auto" where there is none or storage is refused */
  function stored() {
    try {
      const theme = localStorage.getItem(KEY);
      return NAMES.includes(theme) ? theme : "auto";
    } catch {
      return "auto";
    }
  }

  /** @param {string} theme */
  function show(theme) {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
      button.setAttribute("aria-label", `Colours: ${theme}. Press to change.`);
    }
  }

  let theme = stored();
  show(theme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
  document.addEventListener("DOMContentLoaded", () => {
    show(theme);
    document.getElementById("theme").addEventListener("click", () => {
      theme = NAMES[(NAMES.indexOf(theme) + 1) % NAMES.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // A browser that stores nothing keeps the choice for as long as the page is open.
      }
      show(theme);
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
