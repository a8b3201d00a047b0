// Everything that happens in the browser. `element`, `trigger` and `server` come from Gradio.
const root = document.documentElement;
const find = (selector) => document.querySelector(selector);
const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window: not kept */ } };

// -- language, theme, view ------------------------------------------------------------------------------------
function setLanguage(language) {
  root.lang = language;
  root.dir = language === "ar" ? "rtl" : "ltr";
}
function setTheme(theme) {
  root.dataset.theme = theme;
  document.body.classList.toggle("dark", theme === "dark");
}
function setView(view) {
  root.dataset.view = view;
  for (const button of element.querySelectorAll("[data-action=view]")) {
    if (button.dataset.value === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}
// Gradio writes the browser's language and theme on the page when it starts: the reader's own choice comes after.
const chosen = { language: root.lang === "ar" ? "ar" : "en", theme: root.dataset.theme || "light" };
const restore = () => {
  if (root.lang !== chosen.language) setLanguage(chosen.language);
  if (document.body.classList.contains("dark") !== (chosen.theme === "dark")) setTheme(chosen.theme);
};
new MutationObserver(restore).observe(root, { attributes: true, attributeFilter: ["lang"] });
new MutationObserver(restore).observe(document.body, { attributes: true, attributeFilter: ["class"] });
setLanguage(chosen.language);
setTheme(chosen.theme);
setView("chat");

// -- the source panel -----------------------------------------------------------------------------------------
let opener = null;
let opening = 0;
async function openSource(button) {
  const panel = find("#sanad-source"), body = panel.querySelector(".source-body");
  const turn = ++opening;
  mark(null);
  opener = button;
  mark(button);
  root.dataset.source = "loading";
  const { doc, start, end, digest } = button.dataset;
  let html = "";
  try {
    html = await server.open_source({ doc, start: Number(start), end: Number(end), digest });
  } catch {
    if (turn === opening) closeSource();
    return;
  }
  if (turn !== opening) return;
  body.innerHTML = html;
  root.dataset.source = "open";
  const text = body.querySelector(".text"), quote = body.querySelector("mark");
  if (text) {
    const place = quote ? quote.getBoundingClientRect().top - text.getBoundingClientRect().top + text.scrollTop : 0;
    text.scrollTop = Math.max(0, place - text.clientHeight / 4);
  }
  body.querySelector("h2")?.focus({ preventScroll: true });
}
function mark(button) {
  for (const old of document.querySelectorAll("[aria-expanded=true]")) old.removeAttribute("aria-expanded");
  button?.setAttribute("aria-expanded", "true");
}
function closeSource() {
  if (!root.dataset.source) return;
  opening++;
  delete root.dataset.source;
  mark(null);
  if (opener?.isConnected) opener.focus();
  opener = null;
}

// -- events ---------------------------------------------------------------------------------------------------
const actions = {
  source: openSource,
  close: closeSource,
  ask: (button) => trigger("ask", { question: button.textContent }),
  rebuild: () => trigger("rebuild", {}),
  view: (button) => {
    setView(button.dataset.value);
    if (button.dataset.value === "documents") trigger("documents", {});
  },
  language: () => {
    chosen.language = root.lang === "ar" ? "en" : "ar";
    keep("sanad-language", chosen.language);
    setLanguage(chosen.language);
    trigger("language", { language: chosen.language });
  },
  theme: () => {
    chosen.theme = document.body.classList.contains("dark") ? "light" : "dark";
    keep("sanad-theme", chosen.theme);
    setTheme(chosen.theme);
  },
};
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-action]");
  if (button && Object.hasOwn(actions, button.dataset.action)) actions[button.dataset.action](button);
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeSource(); });

// -- a growing answer is followed until its question is at the top, unless the reader has scrolled away -----------
function follow(transcript) {
  let count = 0, following = true, own = 0;
  transcript.addEventListener("scroll", () => { if (Math.abs(transcript.scrollTop - own) > 40) following = false; });
  new MutationObserver(() => {
    const turns = transcript.querySelectorAll(".turn");
    if (turns.length > count) following = true;
    count = turns.length;
    if (!following || !count) return;
    const top = turns[count - 1].getBoundingClientRect().top - transcript.getBoundingClientRect().top;
    own = Math.min(transcript.scrollTop + top - 20, transcript.scrollHeight - transcript.clientHeight);
    transcript.scrollTop = own;
  }).observe(transcript, { childList: true, subtree: true, characterData: true });
}
(function wait() {
  const transcript = find("#sanad-transcript");
  if (!transcript) return requestAnimationFrame(wait);
  follow(transcript);
  trigger("language", { language: chosen.language });
})();
