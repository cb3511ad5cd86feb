// Boxes are [left, top, right, bottom] in pixels; they may reach beyond the photo.

export function area([left, top, right, bottom]) {
  return Math.max(0, right - left) * Math.max(0, bottom - top);
}

// Intersection as a share of the union, or of the smaller box.
export function overlap(a, b, of = 'union') {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const intersection = Math.max(0, width) * Math.max(0, height);
  const whole = of === 'smaller' ? Math.min(area(a), area(b)) : area(a) + area(b) - intersection;
  return whole > 0 ? intersection / whole : 0;
}

// Drops what overlaps a better one by more than `limit`; as in the package `mtcnn`, what is dropped still drops others.
export function suppress(found, limit, of = 'union') {
  // Sure scores are equal to the last bit: of those the last counts as better, as in NumPy's order turned round.
  const sorted = [...found].reverse().sort((a, b) => b.score - a.score);
  return sorted.filter((one, i) => !sorted.slice(0, i).some((better) => overlap(better.box, one.box, of) > limit));
}

// Grown on the shorter side, about the same centre.
export function squared([left, top, right, bottom]) {
  const [x, y, half] = [(left + right) / 2, (top + bottom) / 2, Math.max(right - left, bottom - top) / 2];
  return [x - half, y - half, x + half, y + half];
}

// Edges moved by shares of the box's own size; n pixels count n + 1, as in the nets' training.
export function moved(box, offsets) {
  const size = [box[2] - box[0] + 1, box[3] - box[1] + 1];
  return box.map((edge, i) => edge + offsets[i] * size[i % 2]);
}
