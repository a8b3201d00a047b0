// Before the first paint: the language, direction and theme this reader chose last time.
(() => {
  const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const root = document.documentElement;
  const language = kept("sanad-language") || ((navigator.language || "").startsWith("ar") ? "ar" : "en");
  root.lang = language === "ar" ? "ar" : "en";
  root.dir = root.lang === "ar" ? "rtl" : "ltr";
  const theme = kept("sanad-theme") || "system";
  const isDark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = isDark ? "dark" : "light";
})();
// A session that has ended is said: the login page comes, and after it this one.
(() => {
  const send = window.fetch;
  window.fetch = async (...request) => {
    const reply = await send(...request);
    if (reply.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    return reply;
  };
})();
