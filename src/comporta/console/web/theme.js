// Light or dark before anything is painted: what was chosen here, else what the system says.
(() => {
  const KEY = "comporta-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return window.localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const apply = () => {
    const theme = chosen() || (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    window.Quasar?.Dark?.set(theme === "dark");
    window.dispatchEvent(new CustomEvent("comporta-theme"));
  };
  window.comportaTheme = {
    apply,
    toggle() {
      const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try {
        window.localStorage.setItem(KEY, next);
      } catch {
        document.documentElement.dataset.theme = next;
      }
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
})();
