// MTCNN's cascade (Zhang, Zhang, Li, Qiao, 2016) on the files of `keras-faceattr export --detector`, whose
// detector.json holds every constant. The photo has the one size that the files are made for.

import { GREY, onGrey, picture } from './arrays.js';
import { moved, squared, suppress } from './boxes.js';
import { resample, taps } from './resize.js';

const WINDOW = 12;

export class Detector {
  // `nets`: {pnet, rnet, onet}, each with run(Float32Array) → {name: Float32Array}.
  constructor(info, nets) {
    this.info = info;
    this.nets = nets;
    this.side = { height: info.photo.height, width: info.photo.width };
    const { canvas } = info;
    this.canvas = picture(canvas.height, canvas.width, canvas.background);
    this.levels = canvas.levels.map((level) => ({
      ...level,
      rows: taps(this.side.height, level.height, 'area'),
      columns: taps(this.side.width, level.width, 'area'),
    }));
    const threshold = info.thresholds.pnet;
    this.surplus = Math.log(threshold / (1 - threshold));
  }

  // Faces of RGBA pixels that are not larger than the files' photo: [{box, score, points}], best first.
  async detect(pixels) {
    const photo = onGrey(pixels, this.side.height, this.side.width);
    let boxes = await this.propose(photo);
    if (boxes.length) boxes = await this.refine(photo, boxes);
    return boxes.length ? this.finish(photo, boxes) : [];
  }

  async propose(photo) {
    this.drawPyramid(photo);
    const { score, offsets } = await this.nets.pnet.run(this.canvas.data);
    const { info } = this;
    const across = info.nets.pnet.outputs.score[2];
    const all = [];
    for (const { scale, cells } of this.levels) {
      const found = [];
      for (let row = cells.top; row < cells.bottom; row++) {
        for (let column = cells.left; column < cells.right; column++) {
          const cell = row * across + column;
          const surplus = score[2 * cell + 1] - score[2 * cell];
          if (surplus <= this.surplus) continue;
          const left = info.stride * (column - cells.left);
          const top = info.stride * (row - cells.top);
          // The package counts the first pixel from one.
          const window = [left + 1, top + 1, left + WINDOW, top + WINDOW];
          const box = window.map((edge, i) => (edge + offsets[4 * cell + i] * (WINDOW - 1)) / scale);
          // In 32 bits, where sure scores are equal.
          found.push({ box, score: Math.fround(1 / (1 + Math.exp(-surplus))) });
        }
      }
      all.push(...suppress(found, info.overlaps.level));
    }
    return suppress(all, info.overlaps.proposals).map((one) => squared(one.box));
  }

  drawPyramid(photo) {
    for (const level of this.levels) {
      const small = resample(photo, level.rows, level.columns);
      for (let y = 0; y < level.height; y++) {
        const row = small.data.subarray(3 * y * level.width, 3 * (y + 1) * level.width);
        this.canvas.data.set(row, 3 * ((level.top + y) * this.canvas.width + level.left));
      }
    }
  }

  async refine(photo, boxes) {
    const seen = await this.look('rnet', photo, boxes);
    const good = seen.filter((one) => one.score > this.info.thresholds.rnet);
    const better = good.map((one) => ({ box: moved(one.box, one.offsets), score: one.score }));
    return suppress(better, this.info.overlaps.proposals).map((one) => squared(one.box));
  }

  async finish(photo, boxes) {
    const seen = await this.look('onet', photo, boxes);
    const good = seen.filter((one) => one.score > this.info.thresholds.onet);
    const faces = good.map(({ box, score, offsets, points }) => {
      const [width, height] = [box[2] - box[0] + 1, box[3] - box[1] + 1];
      const pairs = Array.from({ length: 5 }, (_, i) => [
        points[2 * i] * width + box[0] - 1,
        points[2 * i + 1] * height + box[1] - 1,
      ]);
      return { box: moved(box, offsets), score, points: pairs };
    });
    return suppress(faces, this.info.overlaps.faces_of_smaller, 'smaller');
  }

  // What a net says about each box; it looks at a fixed number of windows in one call.
  async look(name, photo, boxes) {
    const net = this.info.nets[name];
    const [batch, side] = net.input;
    const each = 3 * side * side;
    const found = [];
    for (let start = 0; start < boxes.length; start += batch) {
      const part = boxes.slice(start, start + batch);
      const input = new Float32Array(batch * each);
      part.forEach((box, i) => drawWindow(photo, box, side, input.subarray(i * each, (i + 1) * each)));
      const out = await this.nets[name].run(input);
      part.forEach((box, i) => {
        found.push({
          box,
          score: out.score[2 * i + 1],
          offsets: out.offsets.slice(4 * i, 4 * i + 4),
          points: out.points?.slice(10 * i, 10 * i + 10),
        });
      });
    }
    return found;
  }
}

// What a box shows, bilinear; grey outside the photo.
function drawWindow(photo, box, side, into) {
  const { height, width, data } = photo;
  const edges = box.map((edge, i) => Math.fround(edge) * (i % 2 ? (height - 1) / height : (width - 1) / width));
  let to = 0;
  for (let i = 0; i < side; i++) {
    const y = edges[1] + ((edges[3] - edges[1]) * i) / (side - 1);
    const [top, down] = split(y, height);
    for (let j = 0; j < side; j++, to += 3) {
      const x = edges[0] + ((edges[2] - edges[0]) * j) / (side - 1);
      if (y < 0 || y > height - 1 || x < 0 || x > width - 1) {
        into[to] = into[to + 1] = into[to + 2] = GREY;
        continue;
      }
      const [left, right] = split(x, width);
      const first = 3 * (top * width + left);
      const next = left + 1 < width ? 3 : 0;
      const below = top + 1 < height ? 3 * width : 0;
      for (let c = 0; c < 3; c++) {
        const upper = data[first + c] * (1 - right) + data[first + next + c] * right;
        const lower = data[first + below + c] * (1 - right) + data[first + below + next + c] * right;
        into[to + c] = upper * (1 - down) + lower * down;
      }
    }
  }
}

function split(place, length) {
  const whole = Math.min(length - 1, Math.floor(place));
  return [whole, place - whole];
}
