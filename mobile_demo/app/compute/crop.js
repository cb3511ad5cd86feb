// The artifact's CropSpec: from a photo (RGBA of a canvas) to the model's input. Maps are [[a, b, c], [d, e, f]] and
// take x, y of the photo to x, y of the crop; (0, 0) is the middle of the first pixel of either.

import { channels, picture, rounded } from './arrays.js';
import { area } from './boxes.js';
import { cubicWeights, resize } from './resize.js';

const OUTSIDE = 127;
const FACE_METHODS = ['five_points', 'face_box'];
const METHODS = [...FACE_METHODS, 'centre_square', 'whole_photo'];
const INTERPOLATIONS = ['area', 'bilinear', 'cubic'];

// What this page cannot do as Python does is said before anything is predicted.
export function checkSpec(spec) {
  if (spec.version !== 1) throw new Error(`crop version ${spec.version} is newer than this page`);
  if (!METHODS.includes(spec.method)) throw new Error(`crop method ${spec.method} is not known to this page`);
  if (!INTERPOLATIONS.includes(spec.interpolation)) throw new Error(`interpolation ${spec.interpolation} is not known`);
}

export const needsFace = (spec) => FACE_METHODS.includes(spec.method);

// Faces that the crop shows: all for live use, or the one that training would choose.
export function chosen(faces, photo, which) {
  if (which === 'all' || faces.length < 2) return faces;
  const clip = (value, limit) => Math.min(limit, Math.max(0, value));
  const keys = faces.map(({ box }) =>
    which === 'largest'
      ? -area(box.map((edge, i) => clip(edge, i % 2 ? photo.height : photo.width)))
      : Math.hypot((box[0] + box[2] - photo.width + 1) / 2, (box[1] + box[3] - photo.height + 1) / 2));
  return [faces[keys.indexOf(Math.min(...keys))]];
}

// The map from photo to crop; null where the points are no face.
export function cropMap(spec, photo, face, template) {
  const { size, margin } = spec;
  if (spec.method === 'five_points') {
    const targets = template.map((point) => point.map((v) => ((v + margin) / (1 + 2 * margin)) * size - 0.5));
    return similarity(face.points, targets);
  }
  if (spec.method === 'face_box') {
    const [left, top, right, bottom] = face.box;
    const side = Math.max(right - left, bottom - top) * (1 + 2 * margin);
    return side > 0 ? squareMap((left + right - side) / 2, (top + bottom - side) / 2, side, side, size) : null;
  }
  const { top, left, height, width } = seenPart(spec, photo);
  return squareMap(left, top, width, height, size);
}

// {top, left, height, width} of a photo that a crop without a face shows.
export function seenPart(spec, { height, width }) {
  if (spec.method === 'whole_photo') return { top: 0, left: 0, height, width };
  const side = Math.min(height, width);
  return { top: Math.floor((height - side) / 2), left: Math.floor((width - side) / 2), height: side, width: side };
}

function squareMap(left, top, width, height, size) {
  const [x, y] = [size / width, size / height];
  return [[x, 0, -left * x + x / 2 - 0.5], [0, y, -top * y + y / 2 - 0.5]];
}

// Turn, scale and shift that bring points nearest to targets by least squares; it never mirrors.
function similarity(points, targets) {
  const mean = (list, axis) => list.reduce((sum, point) => sum + point[axis], 0) / list.length;
  const [px, py, qx, qy] = [mean(points, 0), mean(points, 1), mean(targets, 0), mean(targets, 1)];
  let [spread, along, turned] = [0, 0, 0];
  points.forEach(([x, y], i) => {
    const [u, v, s, t] = [x - px, y - py, targets[i][0] - qx, targets[i][1] - qy];
    spread += u * u + v * v;
    along += u * s + v * t;
    turned += u * t - v * s;
  });
  const [a, b] = [along / spread, turned / spread];
  if (!(spread >= 1e-9) || !(Math.hypot(a, b) >= 1e-9)) return null;
  return [[a, -b, qx - a * px + b * py], [b, a, qy - b * px - a * py]];
}

// The input of a model: {height, width, data} of whole numbers from 0 to 255, or null without a face.
export function cropPhoto(spec, pixels, face, template) {
  if (needsFace(spec)) {
    const map = cropMap(spec, pixels, face, template);
    return map && cropByMap(spec, pixels, map);
  }
  return rounded(resize(pixels, seenPart(spec, pixels), spec.size, spec.interpolation));
}

// The same, by a map that is known.
export const cropByMap = (spec, pixels, map) => rounded(warp(pixels, map, spec.size, spec.interpolation));

// What a map shows of a photo; grey beyond. `area` averages whole blocks first where the map shrinks by two or more.
function warp(pixels, map, size, interpolation) {
  const determinant = map[0][0] * map[1][1] - map[0][1] * map[1][0];
  const block = interpolation === 'area' ? Math.floor(1 / Math.sqrt(Math.abs(determinant)) + 1e-6) : 1;
  if (block > 1) {
    const [part, own] = shrunk(pixels, map, size, block);
    return sample(part, own, size, false);
  }
  return sample(pixels, map, size, interpolation === 'cubic');
}

export function inverse([[a, b, c], [d, e, f]]) {
  const k = 1 / (a * e - b * d);
  return [[e * k, -b * k, (b * f - c * e) * k], [-d * k, a * k, (c * d - a * f) * k]];
}

export const place = (map, x, y) => map.map(([a, b, c]) => a * x + b * y + c);

function shrunk(pixels, map, size, block) {
  const back = inverse(map);
  const corners = [[-1, -1], [size, -1], [-1, size], [size, size]].map(([x, y]) => place(back, x, y));
  const limits = [pixels.width, pixels.height];
  // Whole blocks counted from the photo's corner.
  const first = [0, 1].map((axis) => {
    const low = Math.floor(Math.min(...corners.map((corner) => corner[axis]))) - 1;
    return Math.floor(Math.min(limits[axis] - 1, Math.max(0, low)) / block) * block;
  });
  const last = [0, 1].map((axis) => {
    const high = Math.ceil((Math.ceil(Math.max(...corners.map((corner) => corner[axis]))) + 2) / block) * block;
    return Math.min(limits[axis], Math.max(first[axis] + 1, high));
  });
  const [width, height] = [0, 1].map((axis) => Math.ceil((last[axis] - first[axis]) / block));
  const part = picture(height, width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = 3 * (y * width + x);
      for (let i = 0; i < block; i++) {
        const row = Math.min(last[1] - 1, first[1] + y * block + i);
        for (let j = 0; j < block; j++) {
          const from = 4 * (row * pixels.width + Math.min(last[0] - 1, first[0] + x * block + j));
          for (let c = 0; c < 3; c++) part.data[to + c] += pixels.data[from + c];
        }
      }
    }
  }
  for (let i = 0; i < part.data.length; i++) part.data[i] /= block * block;
  const shift = (block - 1) / 2;
  const [dx, dy] = [first[0] + shift, first[1] + shift];
  return [rounded(part), map.map(([a, b, c]) => [a * block, b * block, a * dx + b * dy + c])];
}

function sample(photo, map, size, cubic) {
  const [back, step] = [inverse(map), channels(photo)];
  const result = picture(size, size);
  const reach = cubic ? [-1, 0, 1, 2] : [0, 1];
  const weigh = cubic ? cubicWeights : (share) => [1 - share, share];
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [u, v] = place(back, x, y);
      const [left, top] = [Math.floor(u), Math.floor(v)];
      const [across, down] = [weigh(u - left), weigh(v - top)];
      const to = 3 * (y * size + x);
      for (let i = 0; i < reach.length; i++) {
        const row = top + reach[i];
        for (let j = 0; j < reach.length; j++) {
          const column = left + reach[j];
          const weight = down[i] * across[j];
          const inside = row >= 0 && row < photo.height && column >= 0 && column < photo.width;
          const from = step * (row * photo.width + column);
          for (let c = 0; c < 3; c++) result.data[to + c] += weight * (inside ? photo.data[from + c] : OUTSIDE);
        }
      }
    }
  }
  return result;
}
