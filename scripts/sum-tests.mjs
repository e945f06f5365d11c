// Adds up the `jest --json` results named on the command line. Fails when a test failed, was skipped, or none ran.
import { readFileSync } from 'node:fs'

const sum = { passed: 0, failed: 0, skipped: 0 }
for (const file of process.argv.slice(2)) {
  let result
  try {
    result = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    console.error(`no results: ${error.message}`)
    sum.failed += 1
    continue
  }
  sum.passed += result.numPassedTests
  // A suite that could not even be loaded has no tests to count.
  sum.failed += result.numFailedTests + result.numRuntimeErrorTestSuites
  sum.skipped += result.numPendingTests + result.numTodoTests
}

console.log(`Tests: ${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.passed > 0 && sum.failed === 0 && sum.skipped === 0 ? 0 : 1
