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
    // More are waiting than the server takes.
    if (reply.status === 503 && new URL(reply.url).pathname.endsWith("/queue/join")) dispatchEvent(new Event("sanad-busy"));
    if (reply.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
    return reply;
  };
})();
