import { Builder, ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { parseFeedFrame, type AnswerChange } from '../../../src/client/feed-frames.ts'
import { Subscriptions, type Watch, type WatchParameters } from '../../../src/client/subscriptions.ts'
import { AnswerDelivery } from '../../../src/fbs/stemedb/answer-delivery.ts'
import { Answer } from '../../../src/fbs/stemedb/answer.ts'
import { Found } from '../../../src/fbs/stemedb/found.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { Side } from '../../../src/fbs/stemedb/side.ts'
import { Subscribe } from '../../../src/fbs/stemedb/subscribe.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { toHex } from '../../../src/base/bytes.ts'
import { initHash } from '../../../src/record/claim.ts'

await initHash()

interface GivenSide {
  readonly label: string
  /** Byte of the winner's id. */
  readonly winner: number
}

function foundOf(builder: Builder, idByte: number): number {
  const assertion = Found.createAssertionVector(builder, encodeAssertion({
    subject: 's', predicate: 'p', object: { kind: 'number', value: idByte }, confidence: 1, sourceClass: 0, sourceHash: new Uint8Array(32), lifecycle: 'proposed',
    agent: new Uint8Array(32), assertedAtMs: 0,
  }))
  Found.startFound(builder)
  Found.addId(builder, Hash.createHash(builder, Array<number>(32).fill(idByte)))
  Found.addLsn(builder, BigInt(idByte))
  Found.addAssertion(builder, assertion)
  return Found.endFound(builder)
}

/** A reply with one answer, won by the first side's winner. */
function replyOf(sides: readonly GivenSide[]): Uint8Array {
  const builder = new Builder(1024)
  const offsets = sides.map(({ label, winner }) => {
    const text = builder.createString(label)
    const found = foundOf(builder, winner)
    Side.startSide(builder)
    Side.addLabel(builder, text)
    Side.addWinner(builder, found)
    Side.addShare(builder, 0.5)
    Side.addConflict(builder, 0.25)
    return Side.endSide(builder)
  })
  const vector = Answer.createSidesVector(builder, offsets)
  const [subject, predicate, status] = ['s', 'p', 'contested'].map((text) => builder.createString(text)) as [number, number, number]
  const winner = foundOf(builder, sides[0]!.winner)
  Answer.startAnswer(builder)
  Answer.addSubject(builder, subject)
  Answer.addPredicate(builder, predicate)
  Answer.addWinner(builder, winner)
  Answer.addStatus(builder, status)
  Answer.addConflict(builder, 0.75)
  Answer.addCertainty(builder, 0.5)
  Answer.addSides(builder, vector)
  const answers = QueryReply.createAnswersVector(builder, [Answer.endAnswer(builder)])
  QueryReply.startQueryReply(builder)
  QueryReply.addAnswers(builder, answers)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return builder.asUint8Array()
}

/** A delivery of that reply, as a client has it from a connection. */
function deliveryOf(subscriptionId: bigint, seenLsn: number, sides: readonly GivenSide[]): Uint8Array {
  const builder = new Builder(1024)
  const reply = replyOf(sides)
  builder.prep(8, reply.length)
  const bytes = AnswerDelivery.createReplyVector(builder, reply)
  builder.finish(AnswerDelivery.createAnswerDelivery(builder, subscriptionId, BigInt(seenLsn), bytes), 'SANS')
  return builder.asUint8Array().slice()
}

/** A client's subscriptions on a connection that a test plays. */
function connected(): { readonly watch: (parameters: WatchParameters) => Watch, readonly sent: Uint8Array[], readonly deliver: (seenLsn: number, sides: readonly GivenSide[]) => void } {
  const sent: Uint8Array[] = []
  const subscriptions = new Subscriptions({
    isUp: true, send: (frame) => void sent.push(frame), backoff: { baseMs: 1, capMs: 1 },
    platform: { timer: () => () => undefined } as never,
  })
  return {
    watch: (parameters) => subscriptions.watch(parameters),
    sent,
    deliver: (seenLsn, sides) => subscriptions.frame(parseFeedFrame('SANS', new ByteBuffer(deliveryOf(1n, seenLsn, sides)))),
  }
}

t.test('the answers of a watched lens are whole, and a change of any side is one', async (t) => {
  const { watch, deliver } = connected()
  const answers = watch({ subject: 's', lens: 'layered' })
  const next = async (): Promise<AnswerChange> => ((await answers.next()) as IteratorYieldResult<AnswerChange>).value
  deliver(1, [{ label: 'regulatory', winner: 1 }, { label: 'community', winner: 2 }])
  const first = await next()
  t.match(first, { seenLsn: 1, answers: [{
    subject: 's', predicate: 'p', winner: { lsn: 1, assertion: { object: { value: 1 } } }, status: 'contested', conflict: 0.75, certainty: 0.5,
    sides: [
      { label: 'regulatory', share: 0.5, conflict: 0.25, winner: { id: toHex(new Uint8Array(32).fill(1)) } },
      { label: 'community', winner: { lsn: 2, hlc: '0', signed_by: 'nobody' } },
    ],
  }] })
  t.doesNotThrow(() => JSON.stringify(first), 'it can be printed as it is')
  deliver(2, [{ label: 'regulatory', winner: 1 }, { label: 'community', winner: 3 }])
  t.match(await next(), { seenLsn: 2, answers: [{ sides: [{}, { winner: { lsn: 3 } }] }] }, 'another winner of a side')
  deliver(3, [{ label: 'regulatory', winner: 1 }, { label: 'expert', winner: 3 }])
  t.equal((await next()).seenLsn, 3, 'another side')
  deliver(4, [{ label: 'regulatory', winner: 1 }, { label: 'expert', winner: 3 }])
  deliver(5, [{ label: 'regulatory', winner: 1 }])
  t.equal((await next()).seenLsn, 5, 'the same again, as after a new connection, is no change; one side less is')
})

t.test('a watch takes the filter of a subscription', async (t) => {
  const { watch, sent } = connected()
  watch({ prefix: 's/', predicate: 'p', tiers: [0, 3], agent: new Uint8Array(32).fill(9) })
  const frame = Subscribe.getRootAsSubscribe(new ByteBuffer(sent[0]!))
  t.strictSame([frame.subject(), frame.subjectIsPrefix(), frame.predicate(), frame.lens(), frame.tiers()], ['s/', true, 'p', 'recency', 0b1001])
  t.not(frame.agent(), null)
  t.throws(() => watch({ subject: 's', tiers: [6 as 5] }), { code: 'parameter_invalid' })
})
