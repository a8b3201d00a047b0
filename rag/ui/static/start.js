
// == the start ==================================================================================================
// A growing answer is followed until its question is at the top, unless the reader has scrolled away.
function follow(transcript) {
  let count = 0, following = true, own = 0;
  transcript.addEventListener("scroll", () => { if (Math.abs(transcript.scrollTop - own) > 40) following = false; });
  new MutationObserver(() => {
    const turns = transcript.querySelectorAll(".turn");
    if (turns.length > count) following = true;
    count = turns.length;
    if (!following || !count || !isBusy()) return;
    const top = turns[count - 1].getBoundingClientRect().top - transcript.getBoundingClientRect().top;
    own = Math.min(transcript.scrollTop + top - 20, transcript.scrollHeight - transcript.clientHeight);
    transcript.scrollTop = own;
  }).observe(transcript, { childList: true, subtree: true, characterData: true });
}
async function begin() {
  setLanguage(chosen.language);
  setTheme(chosen.theme);
  setView("chat");
  follow(find("#sanad-transcript"));
  box().addEventListener("input", fit);
  box().addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  showSettings();
  let last = null;
  try { last = kept(sessionStorage.getItem("sanad-current")); } catch { /* private window */ }
  if (last) openConversation(last);
  find("#sanad-transcript .start").innerHTML = await server.welcome({});
}
(function wait() {
  const parts = ["#sanad-transcript .turns", "#sanad-question textarea", "#sanad-settings fieldset", "#sanad-conversations .list", "#sanad-upload .drop"];
  if (parts.every(find)) begin();
  else requestAnimationFrame(wait);
})();
