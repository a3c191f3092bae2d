import { type Observable, map, retry, shareReplay } from 'rxjs';
import { fromFetch } from 'rxjs/fetch';
import { Arcs } from './arcs.ts';
import { type AirportDocument, type Flight, trafficOf } from './documents.ts';
import { type Dot, dotOf, drawDots, drawLabels } from './dots.ts';
import { Geography, type Outlines } from './geography.ts';

const COLORS = [
  'land',
  'border',
  'faint',
  'dot',
  'edge',
  'flight',
  'missed',
  'label',
  'halo',
] as const;

/**
 * The map: one canvas with the land, which is drawn once, and above it one canvas with the dots and
 * the arcs, which is drawn in each frame while something moves.
 */
export class FlightMap {
  readonly #element: HTMLElement;
  readonly #land: CanvasRenderingContext2D;
  readonly #moving: CanvasRenderingContext2D;
  readonly #geography: Geography;
  readonly #arcs = new Arcs();
  readonly #dots = new Map<string, Dot>();
  readonly #still = matchMedia('(prefers-reduced-motion: reduce)');
  #colors = {} as Record<(typeof COLORS)[number], string>;
  #busiest: Dot[] = [];
  #width = 0;
  #height = 0;
  #isFrameRequested = false;

  constructor(element: HTMLElement, outlines: Outlines) {
    this.#element = element;
    this.#geography = new Geography(outlines);
    this.#land = addCanvas(element);
    this.#moving = addCanvas(element);
    this.#readColors();
    new ResizeObserver(() => this.#resize()).observe(element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#readColors();
      this.#drawLand();
      this.#requestFrame();
    });
  }

  /** Adds airports to the map, or updates their traffic. */
  update(airports: readonly AirportDocument[]): void {
    for (const airport of airports) {
      const dot = this.#dots.get(airport._id) ?? dotOf(airport, this.#geography);
      if (dot === null) continue;
      dot.traffic = trafficOf(airport);
      this.#dots.set(airport._id, dot);
    }
    this.#busiest = [...this.#dots.values()]
      .filter(({ traffic }) => traffic > 0)
      .sort((a, b) => b.traffic - a.traffic);
    this.#requestFrame();
  }

  /** Draws the land again with all airports that the map knows. */
  showAirports(): void {
    this.#drawLand();
  }

  /** Adds flights. Missed flights sweep over the map in another colour. */
  fly(flights: readonly Flight[], missed: boolean): void {
    if (this.#still.matches) return;
    const routes = flights.flatMap(({ origin, destination }) => {
      const [from, to] = [this.#dots.get(origin), this.#dots.get(destination)];
      return from && to ? [{ from, to }] : [];
    });
    if (missed) this.#arcs.addMissed(routes, performance.now(), this.#width);
    else this.#arcs.add(routes, performance.now(), 250);
    this.#requestFrame();
  }

  #requestFrame(): void {
    if (this.#isFrameRequested) return;
    this.#isFrameRequested = true;
    requestAnimationFrame((now) => {
      this.#isFrameRequested = false;
      if (this.#draw(now)) this.#requestFrame();
    });
  }

  /** Draws dots and arcs. Returns whether something still moves. */
  #draw(now: number): boolean {
    const { dot, edge, flight, missed, label, halo } = this.#colors;
    const context = this.#moving;
    context.clearRect(0, 0, this.#width, this.#height);
    this.#arcs.draw(context, now, { flight, missed });
    const growing = drawDots(
      context,
      this.#busiest,
      this.#width,
      this.#still.matches ? 1 : 0.12,
      dot,
      edge,
    );
    const size = this.#width < 500 ? 10 : 12;
    drawLabels(context, this.#busiest, `600 ${size}px ${this.#font()}`, label, halo);
    return growing || !this.#arcs.isEmpty;
  }

  #drawLand(): void {
    const { land, border, faint } = this.#colors;
    const context = this.#land;
    context.clearRect(0, 0, this.#width, this.#height);
    this.#geography.draw(context, land, border);
    // Each airport, also one without flights, is a faint point.
    context.fillStyle = faint;
    for (const { x, y } of this.#dots.values()) context.fillRect(x - 0.6, y - 0.6, 1.2, 1.2);
  }

  #resize(): void {
    this.#width = this.#element.clientWidth;
    this.#height = this.#element.clientHeight;
    this.#geography.fit(this.#width, this.#height);
    for (const context of [this.#land, this.#moving]) {
      const { canvas } = context;
      canvas.width = this.#width * devicePixelRatio;
      canvas.height = this.#height * devicePixelRatio;
      context.scale(devicePixelRatio, devicePixelRatio);
    }
    for (const dot of this.#dots.values()) {
      [dot.x, dot.y] = this.#geography.project(dot.longitude, dot.latitude) ?? [dot.x, dot.y];
    }
    this.#drawLand();
    this.#requestFrame();
  }

  #font(): string {
    return getComputedStyle(this.#element).fontFamily;
  }

  #readColors(): void {
    const style = getComputedStyle(this.#element);
    for (const name of COLORS) this.#colors[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

/** Loads the outlines, and emits the map. Each subscriber receives the same map. */
export function loadMap(element: HTMLElement): Observable<FlightMap> {
  return fromFetch('us-10m.json', {
    selector: (answer) => answer.json() as Promise<Outlines>,
  }).pipe(
    retry({ count: 5, delay: 500 }),
    map((outlines) => new FlightMap(element, outlines)),
    shareReplay(1),
  );
}

function addCanvas(element: HTMLElement): CanvasRenderingContext2D {
  const context = element.appendChild(document.createElement('canvas')).getContext('2d');
  if (context === null) throw new Error('The browser has no 2D canvas');
  return context;
}
