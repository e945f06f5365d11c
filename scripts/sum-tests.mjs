// Adds up the `jest --json` results named on the command line. Fails when a test failed, was skipped, or none ran. What
// failed is named once more: it stands at the end of the output, of which logs may keep no more.
import { readFileSync } from 'node:fs'
import { basename, relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

const MOST_MESSAGE_LINES = 12

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
  for (const suite of result.testResults) {
    const where = `${basename(file)}: ${relative('.', suite.name)}`
    const failed = suite.assertionResults.filter(({ status }) => status === 'failed')
    if (failed.length === 0 && suite.status === 'failed') tell(where, suite.message)
    for (const { fullName, failureMessages } of failed) tell(`${where} › ${fullName}`, failureMessages[0] ?? '')
  }
}

function tell(what, message) {
  const lines = stripVTControlCharacters(message).split('\n')
  console.log(`FAILED: ${what}\n  ${lines.slice(0, MOST_MESSAGE_LINES).join('\n  ')}`)
}

console.log(`Tests: ${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
process.exitCode = sum.passed > 0 && sum.failed === 0 && sum.skipped === 0 ? 0 : 1
