// Only the rules that need types and that Biome cannot check: promises never float, switches are exhaustive.
import tseslint from 'typescript-eslint';

export default [
  { ignores: ['dist/**', 'src/gen/**', 'node_modules/**', '*.cjs', '*.js', 'scripts/**'] },
  {
    files: ['src/**/*.ts', 'mount/**/*.ts', 'test/**/*.ts', 'docker/**/*.ts'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        project: ['./tsconfig.json', './tsconfig.core.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/await-thenable': 'error',
      'max-lines': ['error', { max: 800 }],
    },
  },
  {
    // node:test's it() and describe() return promises that the runner itself awaits.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['it', 'test', 'describe', 'suite'], package: 'node:test' },
          ],
        },
      ],
    },
  },
];
