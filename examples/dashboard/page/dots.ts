import type { AirportDocument } from './documents.ts';
import { trafficOf } from './documents.ts';
import type { Geography } from './geography.ts';

/** How many airports have their code beside their dot. */
const LABELS = 9;

/** An airport on the map, in CSS pixels. */
export interface Dot {
  readonly code: string;
  readonly longitude: number;
  readonly latitude: number;
  x: number;
  y: number;
  traffic: number;
  /** The radius on the screen, which grows towards the radius of the traffic. */
  radius: number;
}

/** Returns the dot of an airport, or null if the airport is outside the map. */
export function dotOf(airport: AirportDocument, geography: Geography): Dot | null {
  const { _id: code, longitude, latitude } = airport;
  const place = geography.project(longitude, latitude);
  if (place === null) return null;
  const traffic = trafficOf(airport);
  return { code, longitude, latitude, x: place[0], y: place[1], traffic, radius: 0 };
}

/** A dot grows with its traffic. Small maps have smaller dots. */
function radiusOf(traffic: number, width: number): number {
  const scale = Math.min(1, Math.max(0.55, width / 860));
  // The exponential keeps the largest dots below 18 pixels after hours.
  return scale * (1.8 + 16 * (1 - Math.exp(-Math.sqrt(traffic) / 22)));
}

/**
 * Lets the dots grow by a share of the difference to their size, and draws them. Returns whether a dot
 * is still growing.
 */
export function drawDots(
  context: CanvasRenderingContext2D,
  dots: readonly Dot[],
  width: number,
  share: number,
  fill: string,
  edge: string,
): boolean {
  let growing = false;
  context.fillStyle = fill;
  context.strokeStyle = edge;
  context.lineWidth = 1;
  for (const dot of dots) {
    const difference = radiusOf(dot.traffic, width) - dot.radius;
    if (Math.abs(difference) > 0.05) growing = true;
    dot.radius += difference * share;
    context.beginPath();
    context.arc(dot.x, dot.y, Math.max(0, dot.radius), 0, 2 * Math.PI);
    context.globalAlpha = 0.75;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
  }
  return growing;
}

/** Writes the codes of the busiest airports beside their dots, as far as they do not overlap. */
export function drawLabels(
  context: CanvasRenderingContext2D,
  busiest: readonly Dot[],
  font: string,
  color: string,
  halo: string,
): void {
  const labelled: Dot[] = [];
  context.font = font;
  context.textBaseline = 'middle';
  context.lineJoin = 'round';
  context.lineWidth = 3;
  context.strokeStyle = halo;
  context.fillStyle = color;
  for (const dot of busiest) {
    if (labelled.length === LABELS) return;
    if (labelled.some(({ x, y }) => Math.hypot(x - dot.x, (y - dot.y) * 2) < 70)) continue;
    labelled.push(dot);
    const x = dot.x + dot.radius + 4;
    context.strokeText(dot.code, x, dot.y);
    context.fillText(dot.code, x, dot.y);
  }
}
