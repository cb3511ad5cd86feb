// Whether this browser says what Python says: golden crops (the model alone), golden photos (the whole way).

import { overlap } from './boxes.js';
import { cropByMap, cropMap, inverse, needsFace, place } from './crop.js';
import { numbers } from './outputs.js';

// As in Python: floats within 1e-4 in the output's own unit, integers within a step.
const TOLERANCE = 1e-4;
// Of whole photos: pixels of a photo, shares of a crop's side and of an output's range. Between equally sure proposals
// the order is not the same everywhere, and a face then moves by a pixel or two; browsers also shrink photos by other
// rules than OpenCV. What a pixel or two do to an output is up to the net: the outputs are compared where Python cut.
const PHOTO_LIMITS = { iou: 0.85, points: 3, crop: 0.05, change: 0.05 };

// Largest difference in units of the tolerance; infinite for what is no number or has another length.
function difference(sidecar, raw, expected) {
  const found = numbers(sidecar, raw);
  let worst = 0;
  for (const [name, values] of Object.entries(expected)) {
    const unit = sidecar.outputs[name]?.scale || TOLERANCE;
    const wanted = [values].flat();
    if (found[name]?.length !== wanted.length) return Infinity;
    wanted.forEach((value, i) => {
      const gap = Math.abs(found[name][i] - value) / unit;
      worst = Math.max(worst, Number.isNaN(gap) ? Infinity : gap);
    });
  }
  return worst;
}

// {verified, worst, crops}: of every golden crop; `worst` as of `difference`.
export async function replayCrops(entry, readPicture) {
  const expected = await entry.json('expected.json');
  let worst = 0;
  for (const [name, values] of Object.entries(expected)) {
    const pixels = await readPicture(entry.golden(name));
    const rgb = pixels.data.filter((_, i) => i % 4 !== 3);
    worst = Math.max(worst, difference(entry.sidecar, await entry.net.run(rgb), values));
  }
  const crops = Object.keys(expected).length;
  return { verified: crops > 0 && worst <= 1, worst, crops };
}

// Of the detector alone, on its own golden photos: {faces, missed, iou, points}, as of `replayPhotos`.
export async function replayDetector(detector, expected, readPicture) {
  const result = { faces: 0, missed: 0, iou: 1, points: 0 };
  for (const [name, faces] of Object.entries(expected)) {
    const found = await detector.detect(await readPicture(name));
    result.faces += faces.length;
    result.missed += Math.abs(faces.length - found.length);
    for (const face of faces) {
      const shares = found.map((one) => overlap(face.box, one.box));
      const best = found[shares.indexOf(Math.max(...shares))];
      if (!best) continue;
      result.iou = Math.min(result.iou, overlap(face.box, best.box));
      result.points = Math.max(result.points, farthest(face.points, best.points));
    }
  }
  return result;
}

const farthest = (points, others) => Math.max(...points.map(([x, y], i) => Math.hypot(x - others[i][0], y - others[i][1])));

// Of the whole photos: {photos, found, iou, points, crop, change, moved, verified}; see PHOTO_LIMITS.
// points: pixels of the photo; crop: of its corners, as a share of the side; change: of an output where Python cut, as a
// share of its range; moved: the same where the face was found here.
export async function replayPhotos(entry, readPicture, look) {
  const [photos, expected] = [await entry.json('photos.json'), await entry.json('expected.json')];
  const result = { photos: 0, found: 0, iou: 1, points: 0, crop: 0, change: 0, moved: 0 };
  const { crop: spec } = entry.sidecar;
  for (const [name, { crop, matrix, face }] of Object.entries(photos)) {
    const pixels = await readPicture(entry.golden(name));
    const seen = await look(pixels);
    result.photos += 1;
    if (!seen) continue;
    result.found += 1;
    if (face && needsFace(spec)) {
      result.iou = Math.min(result.iou, overlap(face.box, seen.face.box));
      result.points = Math.max(result.points, farthest(face.points, seen.face.points));
    }
    const own = cropMap(spec, pixels, seen.face, entry.template);
    result.crop = Math.max(result.crop, shift(matrix, own, spec.size) / spec.size);
    const raw = needsFace(spec) ? await entry.net.run(cropByMap(spec, pixels, matrix).data) : seen.raw;
    result.change = Math.max(result.change, change(entry.sidecar, raw, expected[crop]));
    result.moved = Math.max(result.moved, change(entry.sidecar, seen.raw, expected[crop]));
  }
  const { iou, points, crop, change: most } = PHOTO_LIMITS;
  const near = result.iou >= iou && result.points <= points && result.crop <= crop && result.change <= most;
  return { ...result, verified: result.found === result.photos && result.photos > 0 && near };
}

// Pixels of the crop between where two maps put the same place, at most, over the crop's corners.
function shift(one, other, size) {
  const back = inverse(one);
  const corners = [[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]];
  return Math.max(...corners.map(([x, y]) => {
    const moved = place(other, ...place(back, x, y));
    return Math.hypot(moved[0] - x, moved[1] - y);
  }));
}

function change(sidecar, raw, expected) {
  const found = numbers(sidecar, raw);
  let worst = 0;
  for (const [name, values] of Object.entries(expected)) {
    const about = sidecar.tasks[sidecar.outputs[name].task];
    const isValue = sidecar.outputs[name].meaning === 'value';
    const range = isValue ? about.maximum - about.minimum : 1;
    [values].flat().forEach((value, i) => { worst = Math.max(worst, Math.abs(found[name][i] - value) / range); });
  }
  return worst;
}
