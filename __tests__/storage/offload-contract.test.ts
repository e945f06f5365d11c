import { resolve } from 'node:path'
import { offload } from '../../src/storage/offload.js'
import { hasDriver, SQLITE_DRIVERS } from '../../src/storage/sqlite/driver.js'
import { storageContract } from '../../src/testing/index.js'
import { sharedClock } from './support/shared-clock.js'
import { tempFolder } from './support/temp-folder.js'

const hosted = resolve(__dirname, 'fixtures/hosted.cjs')
const clock = sharedClock()
const { time } = clock

storageContract('offloaded MemoryStorage', () => offload(hosted, { time }), { clock })

for (const driver of SQLITE_DRIVERS.filter(hasDriver)) {
  storageContract(
    `offloaded SQLiteStorage on ${driver}`,
    () => offload(hosted, { directory: tempFolder(), driver, time }),
    { clock },
  )
}
