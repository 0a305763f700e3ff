// What a scrape of /metrics says, and what happened between two of them.

const SAMPLE = /^pushgate_([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:\\.|[^"\\])*)"/g;

/** One scrape of the node that serves the page, at a time in seconds. */
export class Scrape {
  constructor(text, time) {
    this.time = time;
    this._samples = new Map();
    for (const line of text.split("\n")) {
      const [, name, labels, value] = line.match(SAMPLE) ?? [];
      if (name === undefined) continue;
      if (!this._samples.has(name)) this._samples.set(name, []);
      this._samples.get(name).push({ labels: readLabels(labels), value: Number(value) });
    }
  }

  /** Return the samples of a metric, each with `labels` and `value`. */
  samples(name) {
    return this._samples.get(name) ?? [];
  }

  /** Return the sum of a metric's samples with these labels; null where there is none. */
  value(name, labels = {}) {
    const fitting = this.samples(name).filter((sample) => fits(sample.labels, labels));
    return fitting.length === 0 ? null : fitting.reduce((sum, sample) => sum + sample.value, 0);
  }

  /** Return what was added to a counter since an earlier scrape; null without one, or when the node began anew. */
  since(earlier, name, labels) {
    const before = earlier?.value(name, labels) ?? null;
    const now = this.value(name, labels);
    return before === null || now === null || now < before ? null : now - before;
  }

  /** Return how much was added to a counter in a second since an earlier scrape, or null. */
  rate(earlier, name, labels) {
    const added = this.since(earlier, name, labels);
    return added === null ? null : added / (this.time - earlier.time);
  }

  /**
   * Return below how many seconds this share of what a histogram counted since an earlier scrape was, 0 to 1.
   *
   * It is taken as spread evenly within its bucket. null where nothing was counted, the highest bound for what is above.
   */
  quantile(earlier, name, share) {
    if (!earlier) return null;
    const buckets = this.samples(`${name}_bucket`)
      .map(({ labels }) => ({ bound: Number(labels.le.replace("+Inf", "Infinity")), count: this.since(earlier, `${name}_bucket`, { le: labels.le }) }))
      .sort((one, other) => one.bound - other.bound);
    const total = buckets.at(-1)?.count;
    if (!total) return null;
    let [lower, below] = [0, 0];
    for (const { bound, count } of buckets) {
      if (count >= share * total) {
        return bound === Infinity ? lower : lower + ((bound - lower) * (share * total - below)) / (count - below);
      }
      [lower, below] = [bound, count];
    }
    return lower;
  }
}

function readLabels(text = "") {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, escaped) => (escaped === "n" ? "\n" : escaped));
  return labels;
}

const fits = (labels, wanted) => Object.entries(wanted).every(([name, value]) => labels[name] === value);
