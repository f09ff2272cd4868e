import t from 'tap'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import { storeConformance } from './store-conformance.ts'

storeConformance(t, async () => new MemoryStore())
