// Times of every file on this device, to be sent to the computer that serves the page, or saved.

import { byId, element } from '../draw.js';
import { download } from './photo.js';

const SECONDS = 4;
const PARTS = ['model', 'detection', 'crop', 'end_to_end'];

export class Benchmark {
  constructor(app) {
    this.app = app;
    byId('run').onclick = () => (this.running ? this.stop() : this.run());
    byId('send').onclick = () => this.send();
    byId('save').onclick = () => download(JSON.stringify(this.result, null, 1), 'browser_result.json', 'application/json');
  }

  enable() {
    byId('run').disabled = !this.app.opened.some((one) => one.verified);
    byId('send').hidden = !this.app.site.post;
  }

  stop() {
    this.stopped = true;
    this.say('Stopping after this file …');
  }

  async run() {
    const { app } = this;
    this.running = true;
    this.stopped = false;
    byId('run').textContent = 'Stop';
    byId('send').disabled = byId('save').disabled = true;
    const body = byId('times').tBodies[0];
    body.replaceChildren();
    app.live.stop();
    const rows = [];
    const plan = app.opened.filter((one) => one.verified).flatMap((one) => threadCounts(app.runtime).map((count) => [one, count]));
    try {
      for (const [index, [file, threads]] of plan.entries()) {
        if (this.stopped) break;
        this.say(`Timing ${file.name} on ${threads} thread${threads > 1 ? 's' : ''} (${index + 1} of ${plan.length}) …`);
        const row = await app.engine.benchmark(file.number, threads, this.seconds ?? SECONDS);
        if (rows.at(-1)?.sha256 !== row.sha256) body.append(titleRow(row.file));
        rows.push(row);
        body.append(tableRow(row));
      }
      if (rows.length) this.result = await result(app, rows);
      const isBusy = rows.some((row) => PARTS.some((part) => row.parts[part]?.busy));
      this.say(isBusy ? 'Done. The device did other work meanwhile: do not trust times marked !.' : 'Done.');
    } catch (error) {
      this.say(`It stopped: ${error.message}`);
    }
    this.running = false;
    byId('run').textContent = 'Run';
    byId('send').disabled = byId('save').disabled = !rows.length;
  }

  async send() {
    byId('send').disabled = true;
    try {
      const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token()}` };
      const response = await fetch('results', { method: 'POST', headers, body: JSON.stringify(this.result) });
      const answer = await response.json().catch(() => ({}));
      if (!response.ok) throw new Error(answer.error ?? `the computer answered ${response.status}`);
      this.say(`Sent: kept there as ${answer.name}.`);
    } catch (error) {
      this.say(`Not sent: ${error.message}. Save the results and import the file instead.`);
      byId('send').disabled = false;
    }
  }

  say(text) {
    byId('benchmark-status').textContent = text;
  }
}

// From the end of the address, #token=…, which a browser sends to nobody.
function token() {
  return new URLSearchParams(window.location.hash.slice(1)).get('token') ?? '';
}

function threadCounts({ build, cores }) {
  return build === 'threaded' ? [1, 2, 4].filter((count) => count <= cores) : [1];
}

function tableRow(row) {
  const cells = PARTS.map((part) => {
    const times = row.parts[part];
    if (!times) return element('td', { textContent: '–' });
    const text = `${times.busy ? '! ' : ''}${times.p50_ms.toFixed(2)} `;
    return element('td', {}, text, element('small', { textContent: `(${times.p90_ms?.toFixed(2) ?? '–'})` }));
  });
  return element('tr', {}, element('td', { textContent: row.threads }), ...cells);
}

function titleRow(file) {
  return element('tr', {}, element('th', { scope: 'rowgroup', colSpan: 1 + PARTS.length, textContent: file }));
}

async function result(app, rows) {
  return {
    format: 2,
    kind: 'browser',
    date: `${new Date().toISOString().slice(0, 19)}Z`,
    package: app.site.package,
    device: await device(),
    runtime: { name: '@litertjs/core', version: app.site.litert, build: app.runtime.build },
    rows,
  };
}

const cutTo = (text) => String(text ?? '').slice(0, 300);

export async function device() {
  const hints = await navigator.userAgentData?.getHighEntropyValues?.(['model', 'platform', 'platformVersion']).catch(() => null);
  const battery = await navigator.getBattery?.().catch(() => null);
  return {
    user_agent: cutTo(navigator.userAgent),
    model: cutTo(hints?.model) || null,
    platform: cutTo(hints ? `${hints.platform} ${hints.platformVersion ?? ''}`.trim() : navigator.platform) || null,
    cores: navigator.hardwareConcurrency ?? null,
    memory_gb: navigator.deviceMemory ?? null,
    isolated: window.crossOriginIsolated,
    battery: battery ? { level: battery.level, charging: battery.charging } : null,
    screen: `${window.screen.width}x${window.screen.height}@${window.devicePixelRatio}`,
  };
}
