// Checks in the manner of axe: what a rule finds is told with the element it found it at.
() => {
  const found = [];
  const shown = (el) => el.checkVisibility?.({ checkOpacity: true, checkVisibilityCSS: true }) ?? el.offsetParent !== null;
  const name = (el) => `${el.tagName.toLowerCase()}${el.id ? "#" + el.id : ""}.${[...el.classList].join(".")} “${(el.textContent || "").trim().slice(0, 40)}”`;
  const named = (el) => {
    const by = el.getAttribute("aria-labelledby");
    if (by) return by.split(" ").map((id) => document.getElementById(id)?.textContent || "").join(" ").trim();
    if (el.getAttribute("aria-label")?.trim()) return el.getAttribute("aria-label").trim();
    if (el.labels?.length) return [...el.labels].map((l) => l.textContent).join(" ").trim();
    return (el.textContent || el.getAttribute("title") || "").trim();
  };

  for (const el of document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, summary, [role=listbox], [role=region], dialog[open]")) {
    if (shown(el) && !named(el)) found.push(`no name: ${name(el)}`);
  }
  for (const el of document.querySelectorAll("img, svg, [role=img]")) {
    if (shown(el) && el.getAttribute("aria-hidden") !== "true" && !el.closest("[aria-hidden=true]") && !el.getAttribute("alt") && !named(el)) found.push(`no text for a picture: ${name(el)}`);
  }
  if (!document.documentElement.lang) found.push("the page names no language");
  if (document.querySelectorAll("h1").length !== 1) found.push(`there are ${document.querySelectorAll("h1").length} h1`);
  if (document.querySelectorAll("main").length !== 1) found.push("there is not one main");
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push(`an id twice: ${id}`);
  for (const el of document.querySelectorAll("[tabindex]")) if (el.tabIndex > 0) found.push(`a tabindex above 0: ${name(el)}`);
  for (const el of document.querySelectorAll("th")) if (!el.getAttribute("scope")) found.push(`a head without scope: ${name(el)}`);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = "#000";
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3]));
  const ground = (el) => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none" && !/^url/.test(style.backgroundImage) && at.tagName !== "SELECT") return null;
      const colour = rgb(style.backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] >= 0.999) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(el) || !shown(el) || el.closest("script, style, [disabled], .skip, canvas")) continue;
    seen.add(el);
    const box = el.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const below = ground(el);
    if (!below) continue;
    const style = getComputedStyle(el);
    const ink = over(rgb(style.color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${name(el)}`);
  }
  return found.slice(0, 20);
}
