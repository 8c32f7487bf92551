"use strict";
// Runs in the head: the chosen theme stands before anything is painted.
(function () {
  var KEY = "peakbench-theme";
  var root = document.documentElement;
  root.classList.add("js");
  function stored() {
    try { return localStorage.getItem(KEY); } catch (error) { return null; }  // a page on disk may have no storage
  }
  function keep(value) {
    try { localStorage.setItem(KEY, value); } catch (error) { /* the choice holds for this view */ }
  }
  var chosen = stored();
  if (chosen === "light" || chosen === "dark") { root.dataset.theme = chosen; }
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (!button) { return; }
    var dark = window.matchMedia("(prefers-color-scheme: dark)");
    function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
    function say() { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", (isDark() ? "Light" : "Dark") + " colours"); }
    button.hidden = false;
    button.addEventListener("click", function () {
      root.dataset.theme = isDark() ? "light" : "dark";
      keep(root.dataset.theme);
      say();
    });
    dark.addEventListener("change", say);
    say();
  });
})();
