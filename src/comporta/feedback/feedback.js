// Thumbs, a comment box, and what a reader does with an answer: told to the gate that served this script.
(() => {
  const methods = __METHODS__;
  const doc = document;
  const me = doc.currentScript;
  const gate = new URL(me ? me.src : location.href).origin;
  const has = (name) => methods.includes(name);
  const words = {
    en: ["Good answer", "Bad answer", "What was wrong?", "Tell us more", "Send", "Thank you.", "Could not be sent.", "Rate this answer"],
    pt: ["Boa resposta", "Má resposta", "O que correu mal?", "Conte-nos mais", "Enviar", "Obrigado.", "Não foi possível enviar.", "Avalie esta resposta"],
    es: ["Buena respuesta", "Mala respuesta", "¿Qué estuvo mal?", "Cuéntenos más", "Enviar", "Gracias.", "No se pudo enviar.", "Valore esta respuesta"],
  };
  const css = `:host{color-scheme:light dark;display:block;font:14px/1.4 system-ui,sans-serif;--ink:#1b1f24;--soft:#57606a;--line:#8c959f;--on:#0550ae;--back:#fff}
@media(prefers-color-scheme:dark){:host{--ink:#e6edf3;--soft:#9da7b1;--line:#6e7681;--on:#79c0ff;--back:#161b22}}
div,form{display:flex;gap:8px;align-items:center;flex-wrap:wrap}form{margin-top:8px;align-items:end}[hidden]{display:none}
button{font:inherit;color:var(--ink);background:var(--back);border:1px solid var(--line);border-radius:6px;padding:4px 10px;min-width:36px;min-height:32px;cursor:pointer}
button[aria-pressed=true]{border-color:var(--on);box-shadow:inset 0 0 0 1px var(--on)}
:focus-visible{outline:2px solid var(--on);outline-offset:2px}
label{display:flex;flex-direction:column;color:var(--soft);flex:1 1 220px}
textarea{font:inherit;color:var(--ink);background:var(--back);border:1px solid var(--line);border-radius:6px;padding:6px}
output{color:var(--soft)}`;

  // As plain text: such a request needs no permission beforehand, and a page that closes can still send it.
  const body = (token, said) => new Blob([JSON.stringify({ token, ...said })], { type: "text/plain" });
  const place = `${gate}/v1/feedback`;
  const send = async (token, said) => {
    const answer = await fetch(place, { method: "POST", body: body(token, said), credentials: "omit", keepalive: true });
    if (!answer.ok) throw new Error(`feedback: ${answer.status}`);
  };
  const leave = (token, said) => navigator.sendBeacon(place, body(token, said));
  const el = (name, set = {}, ...inside) => {
    const made = doc.createElement(name);
    for (const key in set) made.setAttribute(key, set[key]);
    made.append(...inside);
    return made;
  };

  // What is done with an answer: how long it was in sight, whether it was copied, whether it was left at once.
  function watch(answer, token, { abandonMs = 4000 } = {}) {
    let dwell = 0, since = 0, inside = false, touched = false, told = "";
    const seen = () => inside && doc.visibilityState === "visible";
    const count = () => {
      const now = performance.now();
      if (since) dwell += now - since;
      since = seen() ? now : 0;
    };
    const eye = new IntersectionObserver((all) => {
      inside = all[all.length - 1].isIntersecting;
      count();
    });
    const copied = () => {
      const chosen = getSelection();
      if (!chosen.toString() || !chosen.getRangeAt(0).intersectsNode(answer)) return;
      touched = true;
      if (has("copy_action")) send(token, { copied: true }).catch(() => {});
    };
    const gone = () => {
      count();
      const said = {};
      if (has("dwell_time")) said.dwell_ms = Math.round(dwell);
      if (has("abandonment")) said.abandoned = !touched && dwell < abandonMs;
      const text = JSON.stringify(said);
      if (text !== "{}" && text !== told && leave(token, said)) told = text;
    };
    const turned = () => (doc.visibilityState === "hidden" ? gone() : count());
    eye.observe(answer);
    doc.addEventListener("copy", copied);
    doc.addEventListener("visibilitychange", turned);
    addEventListener("pagehide", gone);
    return {
      touch: () => (touched = true),
      stop() {
        gone();
        eye.disconnect();
        doc.removeEventListener("copy", copied);
        doc.removeEventListener("visibilitychange", turned);
        removeEventListener("pagehide", gone);
      },
    };
  }

  function mount(host, { token, answer, lang, abandonMs } = {}) {
    const said = (lang || host.closest("[lang]")?.lang || navigator.language || "en").slice(0, 2).toLowerCase();
    const [good, bad, wrong, more, sends, thanks, failed, title] = words[said] || words.en;
    const root = host.shadowRoot || host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
    const watched = answer && watch(answer, token, { abandonMs });
    const status = el("output", { role: "status" });
    const group = el("div", { role: "group", "aria-label": title, lang: words[said] ? said : "en" });
    const asked = el("span");
    const text = el("textarea", { rows: 2, maxlength: 4000 });
    const form = el("form", { hidden: "" }, el("label", {}, asked, text), el("button", { type: "submit" }, sends));
    const tell = async (what) => {
      watched?.touch();
      status.textContent = "";
      try {
        await send(token, what);
        status.textContent = thanks;
        return true;
      } catch {
        status.textContent = failed;
        return false;
      }
    };
    const thumb = (up) => {
      const made = el("button", { type: "button", "aria-pressed": "false", "aria-label": up ? good : bad }, up ? "👍" : "👎");
      made.onclick = async () => {
        if (!(await tell({ thumbs: up }))) return;
        for (const one of thumbs) one.setAttribute("aria-pressed", String(one === made));
        if (!has("comment_box")) return;
        asked.textContent = up ? more : wrong;
        form.hidden = false;
        text.focus();
      };
      return made;
    };
    const thumbs = has("thumbs_up_down") ? [thumb(true), thumb(false)] : [];
    asked.textContent = more;
    form.hidden = thumbs.length > 0 || !has("comment_box");
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (text.value.trim() && (await tell({ comment: text.value }))) {
        text.value = "";
        form.hidden = thumbs.length > 0;
        thumbs[0]?.focus();
      }
    };
    form.onkeydown = (event) => {
      if (event.key === "Escape" && thumbs.length) {
        form.hidden = true;
        thumbs[0].focus();
      }
    };
    group.append(...thumbs, status);
    root.replaceChildren(group, form);
    return { stop: () => watched?.stop() };
  }

  // <div data-comporta-feedback="TOKEN" data-answer="#answer"></div>
  const found = () => {
    for (const host of doc.querySelectorAll("[data-comporta-feedback]:not([data-mounted])")) {
      host.dataset.mounted = "";
      const { comportaFeedback: token, answer, abandonMs } = host.dataset;
      mount(host, { token, answer: answer && doc.querySelector(answer), abandonMs: abandonMs && +abandonMs });
    }
  };
  window.comportaFeedback = { mount, watch, send, scan: found };
  doc.readyState === "loading" ? addEventListener("DOMContentLoaded", found) : found();
})();
