/** @jest-config-loader esbuild-register */
import type { Config } from 'jest'

const config: Config = {
  roots: ['<rootDir>/__tests__'],
  testMatch: ['**/*.test.ts'],
  globalSetup: '<rootDir>/__tests__/support/build.ts',
  transform: {
    // Transpiles only (`isolatedModules`); `npm run check` looks at the types.
    '\\.[cm]?ts$': ['ts-jest', { tsconfig: { module: 'CommonJS', moduleResolution: 'node10' } }],
  },
  moduleNameMapper: {
    // Worker files lie in the build, never beside the sources.
    '^\\.{1,2}/(.*/)?here\\.cjs$': '<rootDir>/__tests__/support/here.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  maxWorkers: 2,
  testTimeout: 20_000,
}

export default config
