// Resampling as OpenCV defines it (cv2.resize), so that crops and pyramids are those of the training.

import { channels, picture } from './arrays.js';

// Which source pixels make one of the result, and with what weights: [first, weights] for each place along an axis.
export function taps(from, to, method) {
  const scale = from / to;
  const clamp = (i) => Math.min(from - 1, Math.max(0, i));
  return Array.from({ length: to }, (_, place) => {
    if (method === 'area') return areaTaps(place, scale, from);
    if (method === 'area_enlarged') {
      const first = Math.floor(place * scale);
      const share = place + 1 - (first + 1) / scale;
      return spread(first, [1 - fraction(share), fraction(share)], clamp);
    }
    const centre = (place + 0.5) * scale - 0.5;
    const first = Math.floor(centre);
    if (method === 'cubic') return spread(first - 1, cubicWeights(centre - first), clamp);
    return spread(first, [1 - (centre - first), centre - first], clamp);
  });
}

const fraction = (share) => (share <= 0 ? 0 : share - Math.floor(share));

function spread(first, weights, clamp) {
  const start = clamp(first);
  const row = new Float64Array(clamp(first + weights.length - 1) - start + 1);
  weights.forEach((weight, i) => { row[clamp(first + i) - start] += weight; });
  return [start, row];
}

export function cubicWeights(x) {
  const a = -0.75;
  const near = (t) => ((a + 2) * t - (a + 3)) * t * t + 1;
  const far = (t) => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return [far(x + 1), near(x), near(1 - x), far(2 - x)];
}

function areaTaps(place, scale, from) {
  const begin = place * scale;
  const end = Math.min(begin + scale, from);
  const first = Math.floor(begin + 1e-3);
  const last = Math.min(from - 1, Math.ceil(end - 1e-3) - 1);
  const row = new Float64Array(last - first + 1);
  for (let i = first; i <= last; i++) row[i - first] = Math.min(end, i + 1) - Math.max(begin, i);
  const sum = row.reduce((a, b) => a + b, 0);
  return [first, row.map((weight) => weight / sum)];
}

// The part of a picture from `top`, `left` in another size. `area` averages what it shrinks; where an axis grows it is
// nearly bilinear on both.
export function resize(source, { top, left, height, width }, size, interpolation) {
  const grows = size > height || size > width;
  const method = interpolation === 'area' && grows ? 'area_enlarged' : interpolation;
  const shifted = (axis, by) => axis.map(([first, weights]) => [first + by, weights]);
  return resample(source, shifted(taps(height, size, method), top), shifted(taps(width, size, method), left));
}

// Rows first: what one row of the result is made of, then its columns.
export function resample(source, rows, columns) {
  const [height, width, step] = [rows.length, columns.length, channels(source)];
  const result = picture(height, width);
  const begin = step * Math.min(...columns.map(([left]) => left));
  const end = step * Math.max(...columns.map(([left, across]) => left + across.length));
  const line = new Float64Array(end - begin);
  for (let y = 0; y < height; y++) {
    const [top, down] = rows[y];
    line.fill(0);
    for (let i = 0; i < down.length; i++) {
      const weight = down[i];
      const start = step * (top + i) * source.width + begin;
      for (let x = 0; x < line.length; x++) line[x] += weight * source.data[start + x];
    }
    let to = 3 * y * width;
    for (let x = 0; x < width; x++, to += 3) {
      const [left, across] = columns[x];
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0, from = step * left - begin; i < across.length; i++, from += step) {
        const weight = across[i];
        red += weight * line[from];
        green += weight * line[from + 1];
        blue += weight * line[from + 2];
      }
      result.data[to] = red;
      result.data[to + 1] = green;
      result.data[to + 2] = blue;
    }
  }
  return result;
}
