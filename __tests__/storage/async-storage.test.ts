import { AsyncStorage, DocumentStore, ObjectStore } from '../../examples/server/async-storage.js'
import { storageContract } from '../../src/testing/index.js'

storageContract("the example's AsyncStorage", ({ now }) => {
  return new AsyncStorage({ documents: new DocumentStore(), objects: new ObjectStore(), now })
})
