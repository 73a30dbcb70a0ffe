// A table whose rows can be reached and opened with the keyboard. Every value is put in as text.
import { written } from "comporta-moments";

const plain = (value) => (value !== null && typeof value === "object" ? value : { text: value ?? "" });
const open = (row, event) => {
  if (event.ctrlKey || event.metaKey || event.button === 1) window.open(row.href, "_blank", "noopener");
  else window.location.assign(row.href);
};

export default {
  props: { label: String, columns: Array, rows: Array, clicks: Boolean },
  emits: ["row"],
  methods: {
    chosen(row, event) {
      if (event.target.closest("a, button") || window.getSelection()?.toString()) return;
      if (row.href) open(row, event);
      else if (this.clicks) this.$emit("row", row.id);
    },
    key(row, event) {
      if (event.key !== "Enter" || event.target !== event.currentTarget) return;
      event.preventDefault();
      if (row.href) open(row, event);
      else if (this.clicks) this.$emit("row", row.id);
    },
    inside(column, value) {
      const cell = plain(value);
      const text = column.kind === "when" && cell.at !== undefined ? written(cell.at, "ago") : String(cell.text);
      const title = cell.title || (column.kind === "when" && cell.at !== undefined ? written(cell.at, "full") : undefined);
      const parts = [];
      if (cell.share !== undefined) {
        const width = `${Math.min(Math.max(cell.share, 0), 1) * 100}%`;
        parts.push(Vue.h("span", { class: `grid__bar tone-${cell.tone || "accent"}`, style: { width } }));
      }
      const tone = cell.tone ? ` tone-${cell.tone}` : "";
      const kind = column.kind === "badge" && text ? `badge${tone || " tone-dim"}` : `grid__text${cell.share === undefined ? tone : ""}`;
      parts.push(
        cell.href
          ? Vue.h("a", { class: `${kind} grid__link`, href: cell.href, title }, text)
          : Vue.h("span", { class: kind, title }, text),
      );
      if (cell.sub) parts.push(Vue.h("span", { class: "grid__sub" }, cell.sub));
      return parts;
    },
    head(column) {
      const sorted = { asc: "ascending", desc: "descending" }[column.sorted];
      const arrow = { asc: " ↑", desc: " ↓" }[column.sorted] || "";
      const text = column.label + arrow;
      return Vue.h(
        "th",
        { scope: "col", class: this.looks(column), "aria-sort": sorted, title: column.title },
        column.href ? Vue.h("a", { href: column.href }, text) : text,
      );
    },
    looks(column) {
      return [`grid__${column.kind || "text"}-cell`, column.wide ? "grid__wide" : ""];
    },
    row(row, i) {
      const opens = Boolean(row.href) || this.clicks;
      return Vue.h(
        "tr",
        {
          key: row.id || row.href || i,
          class: [row.tone ? `grid__row--${row.tone}` : "", opens ? "grid__row--opens" : ""],
          tabindex: opens ? "0" : undefined,
          "data-row": opens ? row.href || "" : undefined,
          onClick: (event) => this.chosen(row, event),
          onKeydown: (event) => this.key(row, event),
        },
        this.columns.map((column) => Vue.h("td", { class: this.looks(column) }, this.inside(column, row.cells[column.key]))),
      );
    },
  },
  render() {
    return Vue.h("div", { class: "grid", role: "region", "aria-label": this.label, tabindex: "0" }, [
      Vue.h("table", { class: "grid__table", "aria-label": this.label }, [
        Vue.h("thead", Vue.h("tr", this.columns.map((column) => this.head(column)))),
        Vue.h("tbody", this.rows.map((row, i) => this.row(row, i))),
      ]),
    ]);
  },
};
