// The language is switched in place, and remembered as the chat remembers it. Without this script the link does it.
document.getElementById("language").addEventListener("click", (event) => {
  event.preventDefault();
  const root = document.documentElement;
  root.lang = root.lang === "ar" ? "en" : "ar";
  root.dir = root.lang === "ar" ? "rtl" : "ltr";
  for (const field of document.querySelectorAll("input[name=lang]")) field.value = root.lang;
  try { localStorage.setItem("sanad-language", root.lang); } catch { /* private window: not kept */ }
});
