import { MemoryStorage } from '../../src/storage/memory/memory-storage.js'
import { storageContract } from '../../src/testing/index.js'

storageContract('MemoryStorage', ({ now }) => new MemoryStorage({ now }))
