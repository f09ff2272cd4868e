// Loaded into a server before its own modules: says on standard error when a prototype that everything has was written to.
const WATCHED = { Object: Object.prototype, Array: Array.prototype, Function: Function.prototype, String: String.prototype } as const
const print = (): string => Object.entries(WATCHED).map(([name, prototype]) => `${name}:${Reflect.ownKeys(prototype).map(String).join()}`).join()
const before = print()

setInterval(() => {
  if (print() !== before) console.error('PROTOTYPE POLLUTED')
}, 20).unref()
