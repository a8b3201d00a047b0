
// == conversations: kept in this browser only, one entry each ===================================================
const PREFIX = "sanad-conversation-";
const MAX_TURNS = 200;
const fresh = () => ({ id: `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 10)}`, title: "", updated: Date.now(), turns: [] });
let current = fresh();

function kept(id) {
  try {
    const found = JSON.parse(read(PREFIX + id));
    return Array.isArray(found.turns) && found.id === id ? found : null;
  } catch { return null; }
}
function allKept() {
  const found = [];
  try {
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      const one = key.startsWith(PREFIX) && kept(key.slice(PREFIX.length));
      if (one) found.push(one);
    }
  } catch { /* private window: nothing is kept */ }
  return found.sort((a, b) => b.updated - a.updated);
}
function save(conversation) {
  if (!conversation.turns.length) {
    try { localStorage.removeItem(PREFIX + conversation.id); } catch { /* private window */ }
  } else {
    conversation.updated = Date.now();
    conversation.title ||= conversation.turns[0].question.slice(0, 120);
    if (!keep(PREFIX + conversation.id, JSON.stringify(conversation))) say("kept_full");
    try { sessionStorage.setItem("sanad-current", current.id); } catch { /* private window */ }
  }
  showList();
}

// -- the transcript -------------------------------------------------------------------------------------------
const turnsPlace = () => find("#sanad-transcript .turns");
const turnNode = (at) => find(`#sanad-transcript .turn[data-turn="${at}"]`);
const isBusy = () => Boolean(find("#sanad-transcript .reply.writing"));
function dropFrom(at) {
  current.turns.length = Math.min(current.turns.length, at);
  for (const node of document.querySelectorAll("#sanad-transcript .turn")) if (Number(node.dataset.turn) >= at) node.remove();
  root.classList.toggle("has-turns", at > 0);
}
function place(html, at) {
  const holder = make("template");
  holder.innerHTML = html;
  const node = holder.content.firstElementChild, old = turnNode(at);
  if (!node) return;
  if (old) old.replaceWith(node);
  else turnsPlace().append(node);
  root.classList.add("has-turns");
}
// A question that nothing was heard of yet: it stands in line, or goes back into its box where the server is too busy.
const IN_LINE_MS = 1500;
let sent = null;
addEventListener("sanad-busy", () => {
  if (sent) fill(sent.question);
  sent = null;
  say("busy");
});
taken.turn = ({ id, at, html, turn }) => {
  sent = null;
  const home = id === current.id ? current : kept(id);
  if (!home || at > home.turns.length) return;
  const isNew = at === home.turns.length;
  if (!isNew && !turn.is_done && `${id} ${at}` === stopped.turn) return;  // sent before the stop was heard
  home.turns[at] = turn;
  if (home === current) place(html, at);
  if (isNew || turn.is_done || turn.error) save(home);
};
// A stop ends whatever is being answered when it arrives: the next question waits until it has.
const STOP_MS = 500;
let stopped = { turn: "", at: 0 };
function stop() {
  stopped = { turn: `${current.id} ${current.turns.length - 1}`, at: Date.now() };
  trigger("stop", {});
  return endTurn();
}
function ask(question, at = current.turns.length) {
  question = question.trim();
  if (!question || isBusy()) return false;
  if (at >= MAX_TURNS) { say("turns_full"); return false; }
  setView("chat");
  dropFrom(at);
  const asked = { id: current.id, at, question, history: current.turns.slice(-8), options: options() };
  if (asked.id + " " + at === stopped.turn) stopped.turn = "";
  const own = sent = asked;
  setTimeout(() => trigger("ask", asked), Math.max(0, stopped.at + STOP_MS - Date.now()));
  setTimeout(() => { if (sent === own) say("in_line"); }, IN_LINE_MS);
  return true;
}
async function endTurn() {
  const at = current.turns.length - 1, turn = current.turns[at], home = current;
  if (!turn || turn.is_done || turn.error) return;
  const shown = await server.show_turns({ turns: [turn], first: at });
  if (home !== current || !shown.turns.length) return;
  current.turns[at] = shown.turns[0];
  place(shown.html, at);
  save(current);
}
async function openConversation(conversation) {
  if (isBusy()) await stop();
  closeSource();
  hideHover();
  current = conversation;
  try { sessionStorage.setItem("sanad-current", current.id); } catch { /* private window */ }
  turnsPlace().replaceChildren();
  root.classList.toggle("has-turns", current.turns.length > 0);
  if (current.turns.length) {
    const shown = await server.show_turns({ turns: current.turns, first: 0 });
    if (current !== conversation) return;
    current.turns = shown.turns;
    turnsPlace().innerHTML = shown.html;
    root.classList.toggle("has-turns", current.turns.length > 0);
    find("#sanad-transcript").scrollTop = find("#sanad-transcript").scrollHeight;
  }
  showList();
  setView("chat");
}

// -- the question box -----------------------------------------------------------------------------------------
const box = () => find("#sanad-question textarea");
let editing = null;
function fit() {
  box().style.height = "auto";
  box().style.height = `${Math.min(box().scrollHeight, 168)}px`;
}
function submit() {
  if (ask(box().value, editing ?? current.turns.length)) {
    editing = null;
    box().value = "";
    fit();
  }
}
function fill(question, at = null) {
  editing = at;
  box().value = question;
  fit();
  box().focus();
}

// -- what can be done with an answer ----------------------------------------------------------------------------
const turnOf = (button) => current.turns[Number(button.closest(".turn")?.dataset.turn)];
function asText(turn) {
  if (!turn.answer) return turn.question;
  const sources = turn.answer.citations.map((cited) => {
    const where = [cited.title, cited.heading.at(-1), cited.page && `p. ${cited.page}`, cited.doc_id];
    return `[${cited.n}] ${[...new Set(where.filter(Boolean))].join(" · ")}\n    "${cited.quote}"`;
  });
  return [turn.question, turn.answer.text, sources.join("\n")].filter(Boolean).join("\n\n");
}
async function copyText(text) {
  try { await navigator.clipboard.writeText(text); return; } catch { /* not a secure page: the old way */ }
  const holder = make("textarea", { value: text, className: "unseen" });
  document.body.append(holder);
  holder.select();
  document.execCommand("copy");
  holder.remove();
}
async function judge(button, turn, reason) {
  const verdict = button.dataset.value;
  const isKept = await server.judge_answer({ turn, verdict, reason }).catch(() => false);
  if (isKept) {
    for (const other of button.closest(".turn").querySelectorAll("[data-action=feedback]")) {
      other.setAttribute("aria-pressed", String(other.dataset.value === verdict));
    }
  }
  say(isKept ? "feedback_thanks" : "feedback_failed");
}
function askReason(button) {
  const reply = button.closest(".reply");
  if (reply.querySelector(".reason")) return;
  const form = make("div", { className: "reason" });
  const label = make("label");
  label.append(words("feedback_reason"), make("textarea", { rows: 2, maxLength: 2000, dir: "auto" }));
  const send = make("button", { type: "button", className: "primary" }, { action: "send-reason", value: "down" });
  send.append(words("send"));
  form.append(label, send);
  reply.querySelector(".foot").after(form);
  form.querySelector("textarea").focus();
}
Object.assign(actions, {
  ask: (button) => ask(button.textContent),
  send: submit,
  stop,
  retry: (button) => { const at = Number(button.closest(".turn").dataset.turn); ask(current.turns[at].question, at); },
  edit: (button) => fill(turnOf(button).question, Number(button.closest(".turn").dataset.turn)),
  undo: (button) => {
    const at = Number(button.closest(".turn").dataset.turn), { question } = current.turns[at];
    dropFrom(at);
    save(current);
    fill(question);
  },
  copy: async (button) => { await copyText(asText(turnOf(button))); say("copied"); },
  feedback: (button) => {
    judge(button, turnOf(button), "");
    if (button.dataset.value === "down") askReason(button);
    else button.closest(".reply").querySelector(".reason")?.remove();
  },
  "send-reason": async (button) => {
    const form = button.closest(".reason");
    await judge(button, turnOf(button), form.querySelector("textarea").value);
    form.remove();
  },
});

// -- the list of conversations ----------------------------------------------------------------------------------
const folded = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}|ـ/gu, "").replace(/[أإآٱ]/g, "ا").replace(/ى/g, "ي").replace(/ة/g, "ه");
const saidIn = (one) => folded([one.title, ...one.turns.flatMap((turn) => [turn?.question, turn?.answer?.text])].join("\n"));
function showList() {
  const place = find("#sanad-conversations .list");
  if (!place || !root.dataset.list) return;
  const wanted = folded(find("#sanad-conversations [data-input=search]").value.trim());
  const found = allKept().filter((one) => !wanted || saidIn(one).includes(wanted));
  if (!found.length) {
    const none = make("li", { className: "empty" });
    none.append(words("no_conversations"));
    return place.replaceChildren(none);
  }
  place.replaceChildren(...found.map((one) => {
    const item = make("li");
    const open = make("button", { type: "button", className: "open" }, { action: "open-conversation", value: one.id });
    if (one.id === current.id) open.setAttribute("aria-current", "true");
    open.append(
      make("bdi", { className: "name", dir: "auto", textContent: one.title || plain("untitled") }),
      make("small", { textContent: new Date(one.updated).toLocaleDateString(root.lang === "ar" ? "ar" : "en-GB", { day: "numeric", month: "short", numberingSystem: "latn" }) }),
    );
    item.append(open, icon("rename", "rename", "edit", one.id), icon("forget", "delete", "bin", one.id));
    return item;
  }));
}
function toggleList(isOpen = !root.dataset.list) {
  if (isOpen) root.dataset.list = "open";
  else delete root.dataset.list;
  find("[data-action=conversations]").setAttribute("aria-expanded", String(isOpen));
  showList();
  if (isOpen) find("#sanad-conversations [data-input=search]").focus();
}
const closeOnPhone = () => { if (innerWidth <= 860) toggleList(false); };
function rename(button) {
  const one = button.dataset.value === current.id ? current : kept(button.dataset.value);
  const name = button.closest("li").querySelector(".name");
  const field = make("input", { type: "text", value: one.title, maxLength: 120, dir: "auto", className: "renaming" });
  field.setAttribute("aria-label", plain("rename"));
  const end = (isKept) => {
    if (isKept && field.value.trim()) { one.title = field.value.trim(); keep(PREFIX + one.id, JSON.stringify(one)); }
    showList();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") { event.stopPropagation(); end(false); }
  });
  field.addEventListener("blur", () => end(true), { once: true });
  name.closest(".open").replaceWith(field);
  field.select();
}
async function exportConversation(format) {
  if (!current.turns.length) return;
  const title = current.title || plain("untitled");
  const text = await server.export_conversation({ title, turns: current.turns, format, language: root.lang });
  const link = make("a", { download: `${title.replace(/[\\/:*?"<>|\x00-\x1f]+/g, " ").trim().slice(0, 80) || "sanad"}.${format}` });
  link.href = URL.createObjectURL(new Blob([text], { type: format === "html" ? "text/html" : "text/markdown" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
Object.assign(actions, {
  conversations: () => toggleList(),
  new: () => { openConversation(fresh()); closeOnPhone(); box().focus(); },
  "open-conversation": (button) => {
    const one = kept(button.dataset.value);
    if (one && one.id !== current.id) openConversation(one);
    closeOnPhone();
  },
  rename,
  forget: (button) => {
    if (!confirmed(button, "delete")) return;
    try { localStorage.removeItem(PREFIX + button.dataset.value); } catch { /* private window */ }
    if (button.dataset.value === current.id) openConversation(fresh());
    showList();
  },
  export: (button) => exportConversation(button.dataset.value),
});
inputs.search = Object.assign(() => showList(), { on: "input" });
