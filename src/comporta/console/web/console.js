// Keyboard, menus, copying: everything that needs no answer from the server. It listens on the document, since the
// page's elements come and go.
(() => {
  const typing = (element) =>
    element instanceof HTMLElement && (element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName));
  const overlaid = () => document.querySelector(".q-dialog, dialog[open]");
  let going = 0;

  const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const press = (key) => {
    const named = [...document.querySelectorAll("[data-key]")].find(
      (one) => one.dataset.key === key && one.offsetParent !== null && !one.disabled,
    );
    named?.click();
    return Boolean(named);
  };
  const help = () => document.getElementById("keys")?.showModal();

  const single = (event) => {
    if (Date.now() < going) {
      going = 0;
      const place = window.comportaFrame?.letters[event.key];
      if (place) window.location.assign(place);
      return true;
    }
    const acts = {
      "/": () => document.querySelector("[data-search]")?.focus(),
      j: () => move(1),
      k: () => move(-1),
      g: () => (going = Date.now() + 1500),
      "?": help,
    };
    if (acts[event.key]) {
      acts[event.key]();
      return true;
    }
    return press(event.key);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && typing(event.target)) {
      event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || overlaid()) return;
    if (event.key.length === 1 && single(event)) event.preventDefault();
  });

  const menu = (open) => {
    document.body.classList.toggle("menu-open", open);
    document.querySelector("[data-menu]")?.setAttribute("aria-expanded", String(open));
  };

  document.addEventListener("click", async (event) => {
    const at = (selector) => event.target instanceof Element && event.target.closest(selector);
    const person = document.querySelector("details.person[open]");
    if (person && !at("details.person")) person.removeAttribute("open");
    if (at("[data-menu]")) menu(!document.body.classList.contains("menu-open"));
    else if (!at(".side")) menu(false);
    if (at("[data-theme]") && !at("html[data-theme] > *:not(body)")) {
      if (event.target.closest("button[data-theme]")) window.comportaTheme.toggle();
    }
    if (at("[data-help]")) help();
    const language = at("[data-language]");
    if (language) {
      document.cookie = `comporta_language=${language.dataset.language};path=/;max-age=31536000;samesite=lax`;
      window.location.reload();
    }
    const copy = at("[data-copy]");
    if (copy) {
      await navigator.clipboard?.writeText(copy.dataset.copy);
      const before = copy.textContent;
      copy.textContent = copy.dataset.done;
      setTimeout(() => (copy.textContent = before), 1500);
    }
  });

  // Fields that were left empty have no place in an address to share.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    for (const field of event.target.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
    setTimeout(() => {
      for (const field of event.target.elements) field.disabled = false;
    }, 0);
  });

  window.comportaPut = (id, value) => {
    const field = document.getElementById(id);
    if (!field) return;
    if (field.type === "checkbox") field.checked = value;
    else field.value = value;
  };
  window.addEventListener("load", () => window.comportaTheme.apply());
})();
