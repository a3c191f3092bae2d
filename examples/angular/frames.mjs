#!/usr/bin/env node
// Measures how smoothly the Angular example shows many live orders, in headless Chromium:
//
//   node examples/angular/frames.mjs [--url http://user:password@127.0.0.1:5984] [--orders 50000]
//     [--writes 100] [--seconds 15] [--screenshot file.png]
//
// It starts the example, scrolls for half of the time, and prints the times of the frames and the tasks longer
// than 50 ms. CHROMIUM_BIN names another browser than /usr/bin/chromium.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    orders: { type: 'string', default: '50000' },
    writes: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '15' },
    screenshot: { type: 'string' },
  },
});

const program = fileURLToPath(new URL('./demo.mjs', import.meta.url));
const args = ['--orders', values.orders, '--writes', values.writes];
if (values.url !== undefined) args.push('--url', values.url);
const demo = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
const ended = once(demo, 'exit');
let output = '';
const started = new Promise((resolve, reject) => {
  demo.stdout.on('data', (chunk) => {
    output += chunk;
    if (output.includes('Ctrl-C')) resolve();
  });
  ended.then(() => reject(new Error(`The example has ended:\n${output}`)), reject);
});

let browser;
try {
  await started;
  const [, url] = /^Page {2,}(\S+)$/m.exec(output);
  const [, name, password] = /^Log in {4}(\S+) \/ (\S+)$/m.exec(output);
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM_BIN'] ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu'],
  });
  const page = await browser.newPage({ viewport: { width: 1000, height: 760 } });
  page.setDefaultTimeout(180_000);
  await page.goto(url);
  await page.fill('[name=name]', name);
  await page.fill('[name=password]', password);
  await page.click('button[type=submit]');
  await page.click('.filter button:text-is("all")');
  const before = performance.now();
  await page.waitForFunction((count) => {
    const [shown = ''] = /^[\d,]+/.exec(document.querySelector('.count').innerText) ?? [];
    return Number(shown.replaceAll(',', '')) >= count;
  }, Number(values.orders));
  console.log(`Loaded ${values.orders} orders after ${Math.round(performance.now() - before)} ms`);
  const result = await page.evaluate(measure, Number(values.seconds) * 1_000);
  if (values.screenshot !== undefined) await page.screenshot({ path: values.screenshot });
  const { frames, tasks, changes, rows } = result;
  const sorted = frames.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)].toFixed(1);
  const total = frames.reduce((sum, time) => sum + time, 0);
  console.log(
    `Frames      ${frames.length}, ${((1_000 * frames.length) / total).toFixed(1)} a second`,
  );
  console.log(
    `Frame time  median ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`,
  );
  console.log(
    `Long tasks  ${tasks.length} over 50 ms${tasks.length > 0 ? `, longest ${Math.max(...tasks)} ms` : ''}`,
  );
  console.log(`List        ${changes} renderings with a change, ${rows} rows in the page`);
} finally {
  await browser?.close();
  demo.kill('SIGINT');
  await ended.catch(() => {});
}

/** Runs in the page: records frames and long tasks, and scrolls in the second half. */
async function measure(time) {
  const [frames, tasks] = [[], []];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) tasks.push(Math.round(duration));
  });
  observer.observe({ type: 'longtask' });
  let changes = 0;
  const mutations = new MutationObserver(() => (changes += 1));
  mutations.observe(document.querySelector('main'), {
    subtree: true,
    childList: true,
    characterData: true,
  });
  const start = performance.now();
  let last = await new Promise(requestAnimationFrame);
  while (performance.now() - start < time) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    if (now - start > time / 2) scrollBy(0, 40);
  }
  scrollTo(0, 0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  observer.disconnect();
  mutations.disconnect();
  return { frames, tasks, changes, rows: document.querySelectorAll('.orders li').length };
}
