import type { Dot } from './dots.ts';

/** How long a flight travels along its arc, in milliseconds. */
const TRAVEL = 900;

/** How long an arc fades after the flight has arrived. */
const FADE = 1_300;

/** How long the arcs of missed flights take to sweep over the map, from west to east. */
const SWEEP = 1_400;

interface Arc {
  readonly from: Dot;
  readonly to: Dot;
  /** The time at which the flight departs on the screen. */
  readonly start: number;
  readonly missed: boolean;
}

export interface ArcColors {
  readonly flight: string;
  readonly missed: string;
}

/** The flights that are on the screen. */
export class Arcs {
  #arcs: Arc[] = [];

  /** Whether there is anything to draw. */
  get isEmpty(): boolean {
    return this.#arcs.length === 0;
  }

  /** Adds the flights of a batch. They depart one after the other until the next batch comes. */
  add(flights: readonly { from: Dot; to: Dot }[], now: number, latency: number): void {
    flights.forEach(({ from, to }, index) => {
      const start = now + (index / flights.length) * latency;
      this.#arcs.push({ from, to, start, missed: false });
    });
    this.#prune(now);
  }

  /** Adds the flights that the page missed during a cut, as one sweep over the map. */
  addMissed(flights: readonly { from: Dot; to: Dot }[], now: number, width: number): void {
    for (const { from, to } of flights) {
      this.#arcs.push({ from, to, start: now + (from.x / width) * SWEEP, missed: true });
    }
    this.#prune(now);
  }

  /** Draws every arc in its present state. */
  draw(context: CanvasRenderingContext2D, now: number, colors: ArcColors): void {
    context.lineCap = 'round';
    for (const arc of this.#arcs) {
      const age = now - arc.start;
      if (age < 0) continue;
      const color = arc.missed ? colors.missed : colors.flight;
      context.strokeStyle = color;
      context.fillStyle = color;
      drawArc(context, arc, age);
    }
    context.globalAlpha = 1;
    this.#prune(now);
  }

  /** Removes the arcs that have faded. A page in the background adds arcs without drawing them. */
  #prune(now: number): void {
    this.#arcs = this.#arcs.filter(({ start }) => now - start < TRAVEL + FADE);
  }
}

function drawArc(context: CanvasRenderingContext2D, { from, to, missed }: Arc, age: number): void {
  const travelled = Math.min(1, age / TRAVEL);
  const head = 1 - (1 - travelled) ** 2;
  const faded = Math.max(0, (age - TRAVEL) / FADE);
  // The control point lies above the middle of the line, so that each arc bends northwards.
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const side = dx < 0 ? 1 : -1;
  const cx = (from.x + to.x) / 2 - side * dy * 0.22;
  const cy = (from.y + to.y) / 2 + side * dx * 0.22;
  // The part of a quadratic curve up to `head` is again a quadratic curve.
  const [mx, my] = [from.x + (cx - from.x) * head, from.y + (cy - from.y) * head];
  const [nx, ny] = [cx + (to.x - cx) * head, cy + (to.y - cy) * head];
  const [hx, hy] = [mx + (nx - mx) * head, my + (ny - my) * head];

  context.globalAlpha = (missed ? 0.85 : 0.6) * (1 - faded);
  context.lineWidth = missed ? 1.6 : 1.3;
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.quadraticCurveTo(mx, my, hx, hy);
  context.stroke();
  context.beginPath();
  if (travelled < 1) {
    context.globalAlpha = 1;
    context.arc(hx, hy, 2.1, 0, 2 * Math.PI);
    context.fill();
  } else {
    // A ring that widens marks the arrival.
    context.globalAlpha = 0.5 * (1 - faded) ** 2;
    context.arc(to.x, to.y, to.radius + 9 * faded, 0, 2 * Math.PI);
    context.stroke();
  }
}
