// The spans of a trace over time. Only the rows in sight are drawn, so that thousands of them cost what thirty do.
const ROW_PX = 28;
const SPARE = 8;

const took = (us) => (us < 1000 ? `${us} µs` : us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(2)} s`);

export default {
  props: { label: String, names: Array, spans: Array, length: Number, chosen: Number, height: Number },
  emits: ["span"],
  data: () => ({ top: 0, seen: 400, focus: -1 }),
  mounted() {
    this.watcher = new ResizeObserver(() => (this.seen = this.$refs.box.clientHeight));
    this.watcher.observe(this.$refs.box);
    if (this.chosen > 3) this.$refs.box.scrollTop = (this.chosen - 3) * ROW_PX;
  },
  unmounted() {
    this.watcher?.disconnect();
  },
  methods: {
    pick(at) {
      this.focus = at;
      this.$emit("span", at);
    },
    key(event) {
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      if (!step && event.key !== "Enter") return;
      event.preventDefault();
      event.stopPropagation();
      if (!step) return this.pick(Math.max(0, this.focus));
      this.focus = Math.min(Math.max(this.focus + step, 0), this.spans.length - 1);
      const box = this.$refs.box;
      const y = this.focus * ROW_PX;
      if (y < box.scrollTop) box.scrollTop = y;
      if (y + ROW_PX > box.scrollTop + box.clientHeight) box.scrollTop = y + ROW_PX - box.clientHeight;
    },
    row(at) {
      const [name, depth, start, length, tone, detail, strong] = this.spans[at];
      const left = (start / this.length) * 100;
      const width = Math.max((length / this.length) * 100, 0.15);
      const end = left + width;
      // Where there is no place behind a bar its time stands before it, and where there is none there either, on it.
      const place = end < 88 ? { left: `${end}%`, paddingLeft: "6px" } : left > 14 ? { right: `${100 - left}%`, paddingRight: "6px" } : { right: `calc(${100 - end}% + 6px)` };
      return Vue.h(
        "div",
        {
          key: at, role: "option", id: `${this.$.uid}-${at}`, "aria-selected": String(at === this.chosen),
          class: ["fall__row", `tone-${tone || "accent"}`, at === this.chosen ? "fall__row--chosen" : "", at === this.focus ? "fall__row--focus" : ""],
          style: { transform: `translateY(${at * ROW_PX}px)` },
          onClick: () => this.pick(at),
        },
        [
          Vue.h("span", { class: "fall__name", style: { paddingLeft: `calc(10px + ${depth} * var(--fall-step))` }, title: this.names[name] }, [
            Vue.h("span", { class: strong ? "fall__call" : "fall__stage" }, this.names[name]),
            detail ? Vue.h("span", { class: "fall__detail" }, detail) : null,
          ]),
          Vue.h("span", { class: "fall__time" }, [
            Vue.h("span", { class: "fall__bar", style: { left: `${left}%`, width: `${width}%` } }),
            Vue.h("span", { class: end < 88 || left > 14 ? "fall__took" : "fall__took fall__took--on", style: place }, took(length)),
          ]),
        ],
      );
    },
    scale() {
      const marks = [0, 0.25, 0.5, 0.75, 1];
      return Vue.h("div", { class: "fall__scale", "aria-hidden": "true" }, [
        Vue.h("span", { class: "fall__name" }),
        Vue.h("span", { class: "fall__time" }, marks.map((m) => Vue.h("span", { style: { left: `${m * 100}%` }, class: m === 1 ? "fall__end" : "" }, took(Math.round(this.length * m))))),
      ]);
    },
  },
  render() {
    const first = Math.max(0, Math.floor(this.top / ROW_PX) - SPARE);
    const last = Math.min(this.spans.length, Math.ceil((this.top + this.seen) / ROW_PX) + SPARE);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(at));
    const height = Math.min(this.spans.length * ROW_PX, this.height);
    return Vue.h("div", { class: "fall" }, [
      this.scale(),
      Vue.h(
        "div",
        {
          ref: "box", class: "fall__box", tabindex: "0", role: "listbox", "aria-label": this.label, style: { height: `${height}px` },
          "aria-activedescendant": this.focus >= 0 ? `${this.$.uid}-${this.focus}` : undefined,
          onScroll: (event) => (this.top = event.target.scrollTop), onKeydown: this.key,
        },
        [Vue.h("div", { style: { height: `${this.spans.length * ROW_PX}px`, position: "relative" } }, rows)],
      ),
    ]);
  },
};
