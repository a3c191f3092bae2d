/** @jest-config-loader esbuild-register */
import type { Config } from 'jest';

const shared: Config = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^corduroy$': '<rootDir>/src/index.ts',
    '^corduroy/angular$': '<rootDir>/src/angular/index.ts',
    '^corduroy/core$': '<rootDir>/src/core.ts',
    '^corduroy/cross-tab$': '<rootDir>/src/changes/cross-tab.ts',
    '^corduroy/exact-integers$': '<rootDir>/src/exact-integers.ts',
    '^corduroy/nats$': '<rootDir>/src/nats/index.ts',
    '^corduroy/opentelemetry$': '<rootDir>/src/opentelemetry/index.ts',
    '^corduroy/relay$': '<rootDir>/src/relay/index.ts',
    '^corduroy/testing$': '<rootDir>/src/testing/index.ts',
    '^corduroy/undici$': '<rootDir>/src/undici.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { decoratorVersion: '2022-03' },
          target: 'es2022',
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};

const config: Config = {
  projects: [
    {
      ...shared,
      displayName: 'marbles',
      testMatch: ['<rootDir>/{marble-tests,examples}/**/*.marbles.ts'],
    },
    {
      ...shared,
      displayName: 'integration',
      testMatch: ['<rootDir>/integration/**/*.test.ts'],
      // zone.js uses the globals that it has patched after its test file has ended.
      testEnvironmentOptions: { globalsCleanup: 'off' },
      globalSetup: '<rootDir>/integration/helpers/global-setup.ts',
      globalTeardown: '<rootDir>/integration/helpers/global-teardown.ts',
    },
  ],
  reporters: ['default', '<rootDir>/integration/helpers/reporter.mjs'],
  coverageProvider: 'v8',
  collectCoverageFrom: ['src/**/*.ts'],
};

export default config;
