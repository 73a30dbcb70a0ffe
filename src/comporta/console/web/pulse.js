// Asks the server again and again, but only while somebody can see the page.
export default {
  props: { every: Number, resting: Boolean },
  emits: ["beat"],
  mounted() {
    this.timer = setInterval(() => {
      if (!document.hidden && !this.resting) this.$emit("beat");
    }, this.every * 1000);
  },
  unmounted() {
    clearInterval(this.timer);
  },
  render() {
    return Vue.h("span", { class: "pulse", hidden: true });
  },
};
