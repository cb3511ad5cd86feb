// Photos from files: a card each, and all of them as CSV.

import { byId, cards, drawFaces, element } from '../draw.js';
import { columns } from '../compute/outputs.js';

const LONGER_SIDE = 2048;
const MOST_BYTES = 64e6;
const PREVIEW = 480;

export class Photo {
  constructor(app) {
    this.app = app;
    this.rows = [];
    const [input, drop] = [byId('files'), byId('drop')];
    input.onchange = () => { this.add([...input.files]); input.value = ''; };
    drop.ondragover = (event) => { event.preventDefault(); drop.classList.add('over'); };
    drop.ondragleave = () => drop.classList.remove('over');
    drop.ondrop = (event) => {
      event.preventDefault();
      drop.classList.remove('over');
      if (this.app.current) this.add([...event.dataTransfer.files]);
    };
    byId('csv').onclick = () => download(csv(this.rows), 'predictions.csv', 'text/csv');
    byId('clear').onclick = () => this.clear();
  }

  enable() {
    byId('files').disabled = !this.app.current;
  }

  async add(files) {
    const status = byId('photo-status');
    let done = 0;
    for (const file of files) {
      status.textContent = `Looking at ${file.name} (${done + 1} of ${files.length}) …`;
      const item = element('li', { className: 'card' }, element('h2', { textContent: file.name }));
      byId('photos').append(item);
      try {
        await this.show(file, item);
        done += 1;
      } catch (error) {
        item.append(element('p', { className: 'bad', textContent: error.message }));
        this.rows.push({ photo: file.name, error: error.message });
      }
      byId('csv').disabled = byId('clear').disabled = false;
    }
    status.textContent = `${done} of ${files.length} photo${files.length > 1 ? 's' : ''} looked at.`;
  }

  async show(file, item) {
    if (!this.app.current) throw new Error('The chosen file is not verified: choose another one.');
    const { number, name } = this.app.current;
    const bitmap = await open(file);
    const canvas = preview(bitmap);
    const seen = await this.app.engine.look(number, bitmap, 'photo');
    const context = canvas.getContext('2d');
    context.scale(canvas.width / seen.width, canvas.height / seen.height);
    drawFaces(context, seen);
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${file.name} with ${seen.faces.length} faces`);
    item.append(canvas, ...cards(seen));
    if (!seen.faces.length) item.append(element('p', { textContent: 'No face found.' }));
    const faces = seen.faces.filter((face) => face.readings);
    const shown = seen.whole ? [...faces, { number: 'whole', readings: seen.whole.readings }] : faces;
    if (!shown.length) this.rows.push({ photo: file.name, file: name, error: 'no face found' });
    for (const one of shown) this.rows.push(row(file.name, name, one));
  }

  clear() {
    this.rows = [];
    byId('photos').replaceChildren();
    byId('photo-status').textContent = '';
    byId('csv').disabled = byId('clear').disabled = true;
  }
}

async function open(file) {
  if (file.size > MOST_BYTES) throw new Error(`${Math.round(file.size / 1e6)} MB are too many: up to ${MOST_BYTES / 1e6} are read.`);
  const whole = await createImageBitmap(file).catch(() => {
    throw new Error('This browser cannot read it as a photo: is it damaged, or HEIC? Save it as JPEG or PNG.');
  });
  const scale = LONGER_SIDE / Math.max(whole.width, whole.height);
  if (scale >= 1) return whole;
  const size = { resizeWidth: Math.max(1, Math.round(whole.width * scale)), resizeHeight: Math.max(1, Math.round(whole.height * scale)) };
  const smaller = await createImageBitmap(whole, { ...size, resizeQuality: 'high' });
  whole.close();
  return smaller;
}

function preview(bitmap) {
  const scale = Math.min(1, PREVIEW / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = element('canvas', { width, height });
  canvas.getContext('2d').drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

function row(photo, file, { number, box, score, readings }) {
  const edges = box ? Object.fromEntries(['left', 'top', 'right', 'bottom'].map((edge, i) => [edge, box[i].toFixed(1)])) : {};
  const tasks = readings.flatMap(columns);
  return { photo, file, face: number, ...edges, ...(score ? { score: score.toFixed(4) } : {}), ...Object.fromEntries(tasks) };
}

function csv(rows) {
  const last = (name) => (name === 'error' ? 1 : 0);
  const names = [...new Set(rows.flatMap(Object.keys))].sort((a, b) => last(a) - last(b));
  const cell = (value) => {
    const text = String(value ?? '');
    // A spreadsheet would take it for a formula.
    const plain = /^[=+@\t\r]/.test(text) || (/^-/.test(text) && Number.isNaN(Number(text))) ? `'${text}` : text;
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  return [names.map(cell).join(','), ...rows.map((one) => names.map((name) => cell(one[name])).join(','))].join('\r\n') + '\r\n';
}

export function download(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
