import { hasDriver, SQLITE_DRIVERS } from '../../src/storage/sqlite/driver.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { storageContract } from '../../src/testing/index.js'
import { tempFolder } from './support/temp-folder.js'

for (const driver of SQLITE_DRIVERS.filter(hasDriver)) {
  storageContract(`SQLiteStorage on ${driver}`, ({ now }) => {
    return new SQLiteStorage({ directory: tempFolder(), driver, now })
  })
}
