// Drawings of our own, in one hand: 24 units square, lines of 1.75, round ends.
const DRAWN = {
  dot: "M12 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2",
  menu: "M4 7h16M4 12h16M4 17h10",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16.2 16.2 20 20",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  overview: "M4 19V9M9.3 19V5M14.6 19v-7M20 19V8",
  calls: "M4 6h16M4 12h11M4 18h14M19 12h1",
  sessions: "M5 5h11a2 2 0 0 1 2 2v5a2 2 0 0 1-2 2h-6l-4 4v-4H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2M18 9h1a2 2 0 0 1 2 2v7l-3-2.500h-5",
  costs: "M12 3v18M16.500 7c-1-1.300-2.600-2-4.500-2-2.500 0-4.300 1.200-4.300 3.200 0 4.600 9.200 2.400 9.200 7.300 0 2.100-2 3.500-4.900 3.500-2.200 0-4-.8-5-2.300",
  playground: "M7 5v14l12-7z",
  prompts: "M5 3h9l5 5v13H5zM14 3v5h5M9 13h6M9 17h4",
  rollouts: "M4 19h4v-4h5v-5h5V5h2",
  keys: "M8 10a4 4 0 1 0 0 8 4 4 0 0 0 0-8M11 11.500 20 3M17 6l3 3M14 9l2 2",
  shield: "M12 3l7 3v5c0 5-3 8.500-7 10-4-1.500-7-5-7-10V6zM9 12l2 2 4-4",
  cache: "M12 4c4.400 0 8 1.300 8 3s-3.600 3-8 3-8-1.300-8-3 3.600-3 8-3M4 7v5c0 1.700 3.600 3 8 3s8-1.300 8-3V7M4 12v5c0 1.700 3.600 3 8 3s8-1.300 8-3v-5",
  feedback: "M7 11v9H4v-9zM7 11l4-8c1.700 0 2.700 1.200 2.400 2.900L13 9h5.500c1.400 0 2.300 1.200 2 2.500l-1.500 6.700A2.300 2.300 0 0 1 16.800 20H7",
  alerts: "M6 16v-5a6 6 0 0 1 12 0v5l2 2H4zM10 21h4M12 3v2",
  system: "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01M12 8h5M12 16h5",
  seed: "M12 21v-9M12 12c0-4 3-7 8-7 0 5-3 8-8 7M12 15c0-3-2.500-5.500-7-5.500 0 4 2.500 6.500 7 5.500",
  model: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM12 12l8-4.500M12 12v9M12 12 4 7.500",
  tool: "M14.500 6.500a4 4 0 0 1 5-1l-2.700 2.700 1 1 2.700-2.700a4 4 0 0 1-5.300 5.300L8 19a2.100 2.100 0 0 1-3-3l7.200-7.200a4 4 0 0 1 2.300-2.300",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 8v4.500l3 2",
  link: "M10 14l4-4M9 8l2-2a4 4 0 0 1 6 6l-2 2M15 16l-2 2a4 4 0 0 1-6-6l2-2",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4 20c1-4 4-6 8-6s7 2 8 6",
};

export default {
  props: { name: String, label: String },
  render() {
    const named = this.label ? { role: "img", "aria-label": this.label } : { "aria-hidden": "true" };
    return Vue.h("svg", { class: "icon", viewBox: "0 0 24 24", ...named }, [
      Vue.h("path", { d: DRAWN[this.name] || DRAWN.dot }),
    ]);
  },
};
