// Faces over a picture, and readings as a list. Text goes in as text: names may hold any character.

import { said } from './compute/outputs.js';

const SVG = 'http://www.w3.org/2000/svg';
const LINE = '#ffd166';

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Boxes, points and numbers of faces; `mirrored` draws them as in a mirror, the numbers readable.
export function drawFaces(context, { width, height, faces, whole }, mirrored = false) {
  const across = (x) => (mirrored ? width - 1 - x : x);
  const unit = Math.max(1, Math.max(width, height) / 320);
  context.lineWidth = 2 * unit;
  context.font = `${12 * unit}px system-ui, sans-serif`;
  if (whole) {
    // What the file looks at, where it is not a face.
    const { top, left, height: high, width: wide } = whole.part;
    context.setLineDash([4 * unit, 4 * unit]);
    context.strokeStyle = LINE;
    context.strokeRect(left, top, wide, high);
    context.setLineDash([]);
  }
  faces.forEach(({ number, box: [left, top, right, bottom], points }) => {
    context.strokeStyle = context.fillStyle = LINE;
    const x = Math.min(across(left), across(right));
    context.strokeRect(x, top, right - left, bottom - top);
    for (const [u, v] of points) {
      context.beginPath();
      context.arc(across(u), v, 2 * unit, 0, 7);
      context.fill();
    }
    if (faces.length > 1) context.fillText(String(number), x + 3 * unit, top + 13 * unit);
  });
}

// A card a face, or one of the whole picture.
export function cards(seen) {
  const shown = seen.faces.filter((face) => face.readings);
  const made = shown.map(({ number, score, readings }) => {
    const title = shown.length > 1 ? `Face ${number}` : 'Face';
    return card(`${title} (${Math.round(100 * score)} %)`, readings);
  });
  if (seen.whole) made.push(card('The dashed part of the picture', seen.whole.readings));
  return made;
}

function card(title, readings) {
  return element('article', { className: 'card' }, element('h2', { textContent: title }), list(readings));
}

function list(readings) {
  const rows = readings.flatMap((one) => {
    const value = element('dd', {}, said(one));
    value.dataset.task = one.task;
    if (one.distribution) value.append(bars(one));
    return [element('dt', { textContent: one.title }), value];
  });
  return element('dl', {}, ...rows);
}

function bars({ title, value, distribution: { bins, shares } }) {
  const chart = document.createElementNS(SVG, 'svg');
  const most = Math.max(...shares, 1e-6);
  chart.setAttribute('viewBox', `0 0 ${shares.length} 20`);
  chart.setAttribute('preserveAspectRatio', 'none');
  chart.setAttribute('role', 'img');
  chart.setAttribute('aria-label', `Distribution of ${title} from ${bins[0]} to ${bins.at(-1)}`);
  const step = (bins.at(-1) - bins[0]) / (bins.length - 1);
  shares.forEach((share, i) => rect(chart, i + 0.1, 20 - (20 * share) / most, 0.8, (20 * share) / most));
  rect(chart, (value - bins[0]) / step + 0.5 - shares.length / 400, 0, shares.length / 200, 20, 'mark');
  return chart;
}

function rect(chart, x, y, width, height, name) {
  const made = document.createElementNS(SVG, 'rect');
  Object.entries({ x, y, width, height }).forEach(([key, number]) => made.setAttribute(key, number.toFixed(3)));
  if (name) made.setAttribute('class', name);
  chart.append(made);
}
