import {
  type GeoPermissibleObjects,
  type GeoProjection,
  geoAlbersUsa,
  geoConicEqualArea,
  geoPath,
} from 'd3-geo';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';

export type Outlines = Topology<{ states: GeometryCollection; land: GeometryCollection }>;

/** The ids of Puerto Rico and the Virgin Islands in the outlines. */
const CARIBBEAN = [72, 78];

/** The outlines of the United States, and a projection that fits them into a rectangle. */
export class Geography {
  readonly #land: GeoPermissibleObjects;
  readonly #borders: GeoPermissibleObjects;
  readonly #islands: GeoPermissibleObjects;
  readonly #mainland = geoAlbersUsa();
  /** `geoAlbersUsa` moves Alaska and Hawaii below the mainland, but omits the Caribbean. */
  readonly #caribbean = geoConicEqualArea().rotate([66, 0]).center([0, 18]).parallels([8, 18]);

  constructor(outlines: Outlines) {
    const { states, land } = outlines.objects;
    const islands = states.geometries.filter(({ id }) => CARIBBEAN.includes(Number(id)));
    this.#land = feature(outlines, land);
    this.#borders = mesh(outlines, states, (a, b) => a !== b);
    this.#islands = feature(outlines, { type: 'GeometryCollection', geometries: islands });
  }

  /** Fits the map into a rectangle with a margin, in CSS pixels. */
  fit(width: number, height: number): void {
    const margin = Math.max(6, width * 0.015);
    const corners: [[number, number], [number, number]] = [
      [margin, margin],
      [width - margin, height - margin],
    ];
    const scale = this.#mainland.fitExtent(corners, this.#land).scale();
    const [x, y] = this.#mainland.translate();
    this.#caribbean.scale(scale).translate([x + 0.34 * scale, y + 0.225 * scale]);
  }

  /** Returns the place of a coordinate in CSS pixels, or null if it is outside the map. */
  project(longitude: number, latitude: number): [number, number] | null {
    const isCaribbean = latitude < 19 && longitude > -68 && longitude < -64;
    const projection = isCaribbean ? this.#caribbean : this.#mainland;
    return projection([longitude, latitude]);
  }

  /** Draws the land and the borders of the states. */
  draw(context: CanvasRenderingContext2D, land: string, border: string): void {
    const shapes: [GeoPermissibleObjects, GeoProjection][] = [
      [this.#land, this.#mainland],
      [this.#islands, this.#caribbean],
    ];
    context.fillStyle = land;
    for (const [shape, projection] of shapes) {
      context.beginPath();
      geoPath(projection, context)(shape);
      context.fill();
    }
    context.beginPath();
    geoPath(this.#mainland, context)(this.#borders);
    context.strokeStyle = border;
    context.lineWidth = 0.8;
    context.lineJoin = 'round';
    context.stroke();
  }
}
