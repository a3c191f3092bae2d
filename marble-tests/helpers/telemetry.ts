import type { Attributes } from '@opentelemetry/api';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import type { Histogram } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';

/** A value of the duration histogram. */
export interface Duration {
  readonly attributes: Attributes;
  readonly count: number;
  /** In seconds. */
  readonly sum: number;
}

class Reader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** Providers that keep what they receive. */
export class Recorder {
  /** The spans that have ended, in the order of their ends. */
  readonly spans: ReadableSpan[] = [];
  readonly tracerProvider: BasicTracerProvider;
  readonly meterProvider: MeterProvider;
  readonly #reader = new Reader();

  constructor() {
    const processor = {
      onStart: () => undefined,
      onEnd: (span: ReadableSpan) => void this.spans.push(span),
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    this.tracerProvider = new BasicTracerProvider({ spanProcessors: [processor] });
    this.meterProvider = new MeterProvider({ readers: [this.#reader] });
  }

  /** The metrics: the name and the unit of each, and its values. */
  async metrics(): Promise<{ readonly name: string; readonly values: readonly Duration[] }[]> {
    const { resourceMetrics } = await this.#reader.collect();
    const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
    return all.map(({ descriptor, dataPoints }) => ({
      name: `${descriptor.name} ${descriptor.unit}`,
      values: dataPoints.map(({ attributes, value }) => {
        const { count, sum = 0 } = value as Histogram;
        return { attributes, count, sum };
      }),
    }));
  }

  /** The bounds of the histogram's buckets, in seconds. */
  async boundaries(): Promise<readonly number[]> {
    const { resourceMetrics } = await this.#reader.collect();
    const point = resourceMetrics.scopeMetrics[0]?.metrics[0]?.dataPoints[0];
    return (point?.value as Histogram | undefined)?.buckets.boundaries ?? [];
  }
}
