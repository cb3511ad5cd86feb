// What the numbers of a file mean, by its sidecar.

const KNOWN = ['value', 'probability', 'probabilities', 'distribution', 'unit_vector'];

// {name: numbers}: integer outputs become what they stand for.
export function numbers(sidecar, raw) {
  return Object.fromEntries(Object.entries(raw).map(([name, values]) => {
    const { scale, zero_point: zero } = sidecar.outputs[name] ?? {};
    return [name, Array.from(values, (value) => (scale == null ? value : (value - zero) * scale))];
  }));
}

// One entry for each task of `answered`, in the sidecar's order, and one for each output that this page does not know;
// none for an output of another task: a sensitive one is answered only where the demo was told to.
// {task, title, kind: scalar|classes|attributes|vector|unknown, value, unit, said, probabilities, distribution, interval,
// text}
export function decode(sidecar, raw, answered) {
  const isLeftOut = (task) => task in sidecar.tasks && !answered.includes(task);
  const found = Object.fromEntries(Object.entries(numbers(sidecar, raw)).filter(([name]) => !isLeftOut(sidecar.outputs[name]?.task)));
  const readings = Object.entries(sidecar.tasks).map(([task, about]) => reading(task, about, sidecar, found));
  const unknown = Object.entries(found).filter(([name]) => !isKnown(sidecar, name)).map(([name, values]) => ({
    task: name, title: name, kind: 'unknown', text: values.slice(0, 8).map((value) => value.toPrecision(4)).join(', '),
  }));
  return [...readings.filter(Boolean), ...unknown];
}

function isKnown(sidecar, name) {
  const spec = sidecar.outputs[name];
  return Boolean(spec && KNOWN.includes(spec.meaning) && sidecar.tasks[spec.task]);
}

function reading(task, about, sidecar, found) {
  const own = Object.entries(sidecar.outputs).filter(([name, spec]) => spec.task === task && found[name]);
  const of = (meaning) => own.find(([, spec]) => spec.meaning === meaning);
  const title = task.replaceAll('_', ' ');
  const value = of('value');
  if (value) {
    const [name, { unit }] = value;
    const [minimum, maximum] = [about.minimum, about.maximum];
    const spread = of('distribution');
    const distribution = spread && { bins: spread[1].labels, shares: found[spread[0]] };
    const interval = distribution && ends(found[name][0], distribution, about, sidecar.calibration?.[task]);
    return { task, title, kind: 'scalar', value: found[name][0], unit, minimum, maximum, distribution, interval };
  }
  const shares = of('probabilities') ?? of('probability');
  if (shares) {
    const [name, { labels, meaning }] = shares;
    const probabilities = pairs(labels, found[name], meaning);
    if (about.kind === 'multilabel') return { task, title, kind: 'attributes', probabilities };
    const said = probabilities.reduce((best, one) => (one[1] > best[1] ? one : best));
    return { task, title, kind: 'classes', said: said[0], probability: said[1], probabilities };
  }
  const vector = of('unit_vector');
  return vector && { task, title, kind: 'vector', text: `a vector of ${found[vector[0]].length} numbers` };
}

const LEVEL = 0.9;

// [low, high] of the 90 % interval that was measured on this file: value ± factor × standard deviation of the
// distribution, as `Intervals.bounds` in Python; undefined for a file without one.
function ends(value, { bins, shares }, { minimum, maximum, step }, calibration) {
  const measured = calibration?.intervals?.find(({ level }) => level === LEVEL);
  if (!measured) return undefined;
  const sum = (term) => shares.reduce((total, share, i) => total + share * term(bins[i]), 0);
  const mean = sum((bin) => bin);
  const half = measured.factor * Math.max(Math.sqrt(sum((bin) => (bin - mean) ** 2)), step / 2);
  return [Math.max(value - half, minimum), Math.min(value + half, maximum)];
}

function pairs(labels, values, meaning) {
  if (meaning === 'probability') {
    const [no, yes] = labels.length === 2 ? labels : ['no', labels[0] ?? 'yes'];
    return [[no, 1 - values[0]], [yes, values[0]]];
  }
  return values.map((value, i) => [String(labels[i] ?? i), value]);
}

const SAID = {
  scalar: (one) => {
    const [value, ...range] = [one.value, ...(one.interval ?? [])].map((number) => number.toFixed(one.maximum - one.minimum > 20 ? 0 : 2));
    return `${value} ${one.unit}`.trim() + (range.length ? ` (${range.join('–')})` : '');
  },
  classes: (one) => `${one.said} (${Math.round(100 * one.probability)} %)`,
  attributes: ({ probabilities }) => {
    const yes = probabilities.filter(([, share]) => share >= 0.5).map(([name]) => name.replaceAll('_', ' '));
    return yes.length ? yes.join(', ') : 'none above 50 %';
  },
};

// Text for people: "31 years (24–39)", with the 90 % interval, or "female (93 %)".
export const said = (one) => SAID[one.kind]?.(one) ?? one.text;

const COLUMNS = {
  scalar: ({ task, value, interval = [] }) => [
    [task, value.toFixed(4)],
    ...interval.map((end, i) => [`${task}_${['low', 'high'][i]}`, end.toFixed(4)]),
  ],
  classes: ({ task, said: name, probability }) => [[task, name], [`${task}_probability`, probability.toFixed(4)]],
  attributes: ({ probabilities }) => probabilities.map(([name, share]) => [name, share.toFixed(4)]),
};

// Names and values of the columns that a reading fills in a table.
export const columns = (one) => COLUMNS[one.kind]?.(one) ?? [[one.task, one.text]];
