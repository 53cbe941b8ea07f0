// Before the first paint: the theme chosen earlier, so that the page does not flash.
try {
  var t = localStorage.getItem("nines-theme");
  if (t === "light" || t === "dark") document.documentElement.dataset.theme = t;
} catch (e) {
  // Storage is switched off: the system's theme holds.
}
