// What `resumable-upload/testing` exports.

export { type CreateStorage, type StorageContractOptions, storageContract } from './storage-contract.js'
export { type Capability, type Clock, manualClock, type TestApi } from './subject.js'
