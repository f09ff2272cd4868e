import { connect, type Socket } from 'node:net'
import { systemClock } from '../../src/base/clock.ts'
import { sleep } from './history.trial.ts'

/** What a crowd of sockets does: `head` at once, then `drop` again and again. */
export interface Habit {
  readonly name: string
  readonly head: string
  readonly drop?: string
  readonly everyMs?: number
}

const CONNECT_AT_ONCE = 200

/** Many TCP connections that all have one habit. What comes back is read and its first line kept. */
export class Crowd {
  readonly habit: Habit
  readonly sockets: Socket[] = []
  /** First lines of answers, each once. */
  readonly said = new Set<string>()
  /** Of those that have ended: how long they lived. */
  readonly livedMs: number[] = []
  connected = 0

  private constructor(habit: Habit) {
    this.habit = habit
  }

  /** Opens `count` of them, some at a time; resolves when all have connected or failed. */
  static async open(port: number, count: number, habit: Habit): Promise<Crowd> {
    const crowd = new Crowd(habit)
    await crowd.add(port, count)
    return crowd
  }

  async add(port: number, count: number): Promise<void> {
    for (let from = 0; from < count; from += CONNECT_AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(CONNECT_AT_ONCE, count - from) }, () => this.#open(port)))
      await sleep(1)
    }
  }

  get open(): number {
    return this.connected - this.livedMs.length
  }

  closeAll(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  #open(port: number): Promise<void> {
    const { head, drop, everyMs } = this.habit
    return new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1')
      let connectedAtMs = 0
      let timer: NodeJS.Timeout | undefined
      this.sockets.push(socket)
      socket.on('error', () => resolve()) // the close that follows counts
      socket.on('data', (data: Buffer) => {
        const text = data.toString('latin1')
        this.said.add(text.slice(0, text.indexOf('\r\n')))
      })
      socket.once('connect', () => {
        this.connected++
        connectedAtMs = systemClock.monoMs()
        if (head !== '') socket.write(head)
        if (drop !== undefined) timer = setInterval(() => socket.write(drop), everyMs)
        resolve()
      })
      socket.once('close', () => {
        clearInterval(timer)
        if (connectedAtMs > 0) this.livedMs.push(systemClock.monoMs() - connectedAtMs)
        resolve()
      })
    })
  }
}
