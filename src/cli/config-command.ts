import { DbError } from '../base/errors.ts'
import { loadConfig } from '../config/load.ts'
import { OPTIONS, OPTION_NAMES, flagOf } from '../config/options.ts'
import { renderConfigReference, renderEnvExample, sizeText } from './config-docs.ts'
import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'

/** `stemedb config` */
export function runConfig(form: string, options: OutputOptions, console: Console): number {
  if (options.json === true && form !== 'show') throw new DbError('parameter_invalid', '--json is for show: the documents have a form of their own', { parameter: '--json' })
  switch (form) {
    case 'env': console.out(renderEnvExample().trimEnd()); break
    case 'markdown': console.out(renderConfigReference().trimEnd()); break
    case 'show': show(options, console); break
    default: throw new DbError('parameter_invalid', `"${form}" is none of show, env, markdown`)
  }
  return EXIT.ok
}

function show(options: OutputOptions, console: Console): void {
  const config = loadConfig()
  if (options.json === true) return console.out(JSON.stringify(config))
  for (const name of OPTION_NAMES) {
    const option = OPTIONS[name]
    const value = config[name]
    const text = option.type === 'number' && option.unit === 'bytes' ? sizeText(Number(value)) : String(value)
    const unit = option.type === 'number' && option.unit !== 'bytes' && option.unit !== 'port' ? ` ${option.unit}` : ''
    console.out(`${flagOf(name).padEnd(28)} ${text}${unit}`)
  }
}
