// A moment in the reader's own time zone and language.
import { written } from "comporta-moments";

export default {
  props: { at: Number, mode: String },
  render() {
    const full = written(this.at, "full");
    return Vue.h(
      "time",
      { class: "when", datetime: new Date(this.at * 1000).toISOString(), title: full },
      written(this.at, this.mode),
    );
  },
};
