import js from '@eslint/js'
import tseslint from 'typescript-eslint'

/**
 * Sources of time, chance and surroundings that only one file each may touch (docs/ARCHITECTURE.md): a simulator can
 * own them only if nobody goes around it.
 */
const member = (object, property, message) => ({ object, property, message })
const TIME = 'Take a Clock (src/base/clock.ts): nothing else reads time or sets timers.'
const CHANCE = 'Take a Random or Secrets (src/base/random.ts): nothing else makes chance.'
const SURROUNDINGS = 'Take a Config (src/config/): nothing else reads the environment.'

const TIME_PROPERTIES = [
  member('Date', 'now', TIME), member('performance', 'now', TIME), member('process', 'hrtime', TIME), member('process', 'uptime', TIME),
]
const CHANCE_PROPERTIES = [
  member('Math', 'random', CHANCE), member('crypto', 'randomUUID', CHANCE), member('crypto', 'getRandomValues', CHANCE),
]
const SURROUNDINGS_PROPERTIES = [member('process', 'env', SURROUNDINGS)]

const TIMERS = ['setTimeout', 'setInterval'].map((name) => ({ name, message: TIME }))
const YIELDS = ['setImmediate'].map((name) => ({ name, message: 'Only what hosts an event loop (src/node/, src/front/) gives it its turn; a stage returns from step().' }))
const IDENTITY_SYNTAX = [
  { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: TIME },
  { selector: 'ImportDeclaration[source.value=/^(node:)?timers/]', message: TIME },
  { selector: 'ImportSpecifier[imported.name=/^random(Bytes|UUID|Int|Fill|FillSync)$/]', message: CHANCE },
]
const ERASABLE_SYNTAX = [
  { selector: 'TSEnumDeclaration', message: 'Enums are not erasable; use a const object or a union of texts.' },
  { selector: 'TSModuleDeclaration[declare!=true]', message: 'Namespaces are not erasable; use a module.' },
  { selector: 'TSParameterProperty', message: 'Parameter properties are not erasable; write the field.' },
  { selector: 'ExportAllDeclaration', message: 'No barrels: import the file that has it.' },
  { selector: 'TSAsExpression > TSAnyKeyword', message: 'No any: say what it is, or unknown.' },
]

/** Rules of one place, which replace those of `src/`: what it may touch is left out. */
const allowed = (files, { time = false, chance = false, surroundings = false, yields = false }) => ({
  files,
  rules: {
    'no-restricted-properties': ['error',
      ...(time ? [] : TIME_PROPERTIES), ...(chance ? [] : CHANCE_PROPERTIES), ...(surroundings ? [] : SURROUNDINGS_PROPERTIES)],
    'no-restricted-globals': ['error', ...(time ? [] : TIMERS), ...(yields ? [] : YIELDS)],
    'no-restricted-syntax': ['error', ...ERASABLE_SYNTAX,
      ...IDENTITY_SYNTAX.filter(({ message }) => !(time && message === TIME) && !(chance && message === CHANCE))],
  },
})

export default tseslint.config(
  { ignores: ['dist/', '.out/', '.tap/', 'node_modules/', 'src/fbs/', 'data/', 'scratch/', 'coverage/'] },
  js.configs.recommended,
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', TextDecoder: 'readonly', TextEncoder: 'readonly', Buffer: 'readonly', performance: 'readonly', setTimeout: 'readonly', setInterval: 'readonly', clearTimeout: 'readonly', clearInterval: 'readonly', fetch: 'readonly', WebSocket: 'readonly' } },
  },
  {
    files: ['**/*.{ts,js,mjs}'],
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-console': 'off',
      'no-constant-condition': ['error', { checkLoops: false }],
      // A bare builtin name can be taken over by a package of that name.
      'no-restricted-imports': ['error', { patterns: [{
        regex: '^(assert|async_hooks|buffer|child_process|cluster|crypto|dgram|dns|events|fs|http|http2|https|module|net|os|path|perf_hooks|process|readline|stream|string_decoder|timers|tls|tty|url|util|v8|vm|worker_threads|zlib)(/.*)?$',
        message: 'Write node: before the name of a builtin.',
      }] }],
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': ['error', {
        // What `t.test` returns: tap itself waits for it.
        allowForKnownSafePromises: [{ from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' }],
      }],
      // With noUncheckedIndexedAccess a `!` is needed before the first write to an element and not after it.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // noUncheckedIndexedAccess asks for `!` wherever an index is known to be in range.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // An async function that awaits nothing keeps a signature that callers rely on.
      '@typescript-eslint/require-await': 'off',
      // Empty functions and catches say why in a comment; the rule can not tell.
      '@typescript-eslint/no-empty-function': 'off',
      'no-empty': ['error', { allowEmptyCatch: false }],
    },
  },
  { files: ['src/**/*.ts', 'workers/**/*.ts'], rules: allowed([], {}).rules },
  allowed(['src/base/clock.ts'], { time: true }),
  allowed(['src/base/random.ts'], { chance: true }),
  allowed(['src/config/**/*.ts'], { surroundings: true }),
  allowed(['src/node/**/*.ts', 'src/front/**/*.ts'], { yields: true }),
  // A command is a program of its own, with a person or a load in front of it.
  allowed(['src/cli/**/*.ts'], { time: true }),
  // The client runs in browsers: one file is its clock and its chance, one makes keys with Web Crypto.
  allowed(['src/client/platform.ts'], { time: true, chance: true }),
  allowed(['src/client/signer.ts'], { chance: true }),
  {
    // Tests, benches and the load tools measure real time and start real processes.
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', ...ERASABLE_SYNTAX], '@typescript-eslint/unbound-method': 'off' },
  },
)
