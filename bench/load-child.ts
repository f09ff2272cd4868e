import type { LoadOptions } from '../src/cli/load/load.types.ts'
import { runLoad } from '../src/cli/load/load.ts'

// One load run, as bench/lib/load-process.ts asks for it; prints its report as one line.
const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions
process.stdout.write(`${JSON.stringify(await runLoad(options))}\n`, () => process.exit())
