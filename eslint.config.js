import js from '@eslint/js';
import reactHooks from 'eslint-plugin-react-hooks';
import regexp from 'eslint-plugin-regexp';
import tseslint from 'typescript-eslint';

const SPREAD_OF_LITERAL = {
  selector: 'ObjectExpression > SpreadElement > ObjectExpression.argument',
  message: 'Write the properties; the spread of a literal has no effect.',
};
/** `close` is emitted once, perhaps before a step that waited listens to it. */
const CLOSE_OF_RESPONSE = {
  selector:
    "CallExpression[callee.property.name=/^(on|once)$/][callee.object.name='res'][arguments.0.value='close']",
  message: 'Use onClosed of closed-response.ts: the response may be closed already.',
};
/** Once made for each request, it keeps the whole request until the next full garbage collection. */
const FUNCTION_IN_OLD_SPACE = {
  selector: ":function AssignmentExpression[left.type='MemberExpression'] > :function.right",
  message:
    'Assign a const, or write a method: V8 makes this function in the old generation (young-objects.ts).',
};
/**
 * When it fails, node reads the source to build a message, and cannot find the place in code that tsx has
 * put on one line: it parses for minutes.
 */
const ASSERT_WITHOUT_MESSAGE = [
  "CallExpression[callee.name='assert'][arguments.length=1]",
  "CallExpression[callee.object.name='assert'][callee.property.name='ok'][arguments.length=1]",
].map((selector) => ({
  selector,
  message: 'Compare with assert.equal(x, true), or add a message: without one, a failure takes minutes.',
}));

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'data/', 'node_modules/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {
          allowDefaultProject: ['eslint.config.js', 'src/bootstrap.mjs', 'test/support/run-tests.mjs'],
        },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      'max-lines-per-function': ['error', { max: 60, skipComments: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // A leading underscore says that a parameter is there for its position alone.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  {
    // Test files are tables and suites: a suite is one long function by the test runner's own design.
    files: ['test/**', 'bench/**'],
    rules: {
      'max-lines-per-function': 'off',
      'no-restricted-syntax': ['error', ...ASSERT_WITHOUT_MESSAGE],
      // node:test's describe() and it() return promises that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'test', 'before', 'after'] },
          ],
        },
      ],
    },
  },
  // A later block replaces the list of an earlier one for the files of both.
  {
    files: ['src/**'],
    rules: { 'no-restricted-syntax': ['error', SPREAD_OF_LITERAL, FUNCTION_IN_OLD_SPACE] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/closed-response.ts', 'src/embedded/**'],
    rules: { 'no-restricted-syntax': ['error', SPREAD_OF_LITERAL, FUNCTION_IN_OLD_SPACE, CLOSE_OF_RESPONSE] },
  },
  {
    // A text of a client must not make an expression read it again and again (H20.8).
    files: ['src/**'],
    plugins: { regexp },
    rules: {
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': [
        'error',
        { report: 'potential', ignorePartial: false, ignoreSticky: false },
      ],
    },
  },
  {
    // A component is one function with the markup of its part of the page.
    files: ['src/dashboard/**/*.tsx'],
    plugins: { 'react-hooks': reactHooks },
    rules: {
      ...reactHooks.configs.recommended.rules,
      'max-lines-per-function': ['error', { max: 110, skipComments: true }],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
);
