// Before the first paint: the language, direction and theme this reader chose last time.
(() => {
  const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const root = document.documentElement;
  const language = kept("sanad-language") || ((navigator.language || "").startsWith("ar") ? "ar" : "en");
  root.lang = language === "ar" ? "ar" : "en";
  root.dir = root.lang === "ar" ? "rtl" : "ltr";
  root.dataset.theme = kept("sanad-theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
})();
