#!/usr/bin/env python3
"""Writes claims.json: canonical claims, their bytes and ids, and what must be refused.

An implementation of docs/formats/claim.md of its own, BLAKE3 included, that shares nothing with src/: run
`python3 test/vectors/claims.py` after a change of the format (that is, never within v1) or to add a vector.
Only the accepted vectors are computed; the error of a refused one is stated by hand.
"""
import json
import os
import struct

TAG = b'stemedb.claim.v1\0'
KINDS = {'text': 1, 'number': 2, 'boolean': 3, 'reference': 4}
LIFECYCLES = ['proposed', 'under_review', 'approved', 'deprecated', 'rejected', 'retracted']

# --- BLAKE3, after the reference implementation in the specification ---------------------------------------------
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF


def mix(s, a, b, c, d, x, y):
    s[a] = (s[a] + s[b] + x) & MASK
    v = s[d] ^ s[a]
    s[d] = (v >> 16 | v << 16) & MASK
    s[c] = (s[c] + s[d]) & MASK
    v = s[b] ^ s[c]
    s[b] = (v >> 12 | v << 20) & MASK
    s[a] = (s[a] + s[b] + y) & MASK
    v = s[d] ^ s[a]
    s[d] = (v >> 8 | v << 24) & MASK
    s[c] = (s[c] + s[d]) & MASK
    v = s[b] ^ s[c]
    s[b] = (v >> 7 | v << 25) & MASK


def compress(cv, words, counter, length, flags):
    s = cv + IV[:4] + [counter & MASK, counter >> 32, length, flags]
    m = list(words)
    for turn in range(7):
        for i, (a, b, c, d) in enumerate([(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                                          (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]):
            mix(s, a, b, c, d, m[2 * i], m[2 * i + 1])
        m = [m[i] for i in PERMUTATION]
    return [s[i] ^ s[i + 8] for i in range(8)]


def chunk(data, counter, root):
    cv = IV
    blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b'']
    for i, block in enumerate(blocks):
        flags = (CHUNK_START if i == 0 else 0) | ((CHUNK_END | root) if i == len(blocks) - 1 else 0)
        cv = compress(cv, struct.unpack('<16I', block.ljust(64, b'\0')), counter, len(block), flags)
    return cv


def subtree(data, counter, root):
    if len(data) <= 1024:
        return chunk(data, counter, root)
    left = 1024
    while left * 2 < len(data):
        left *= 2
    pair = subtree(data[:left], counter, 0) + subtree(data[left:], counter + left // 1024, 0)
    return compress(IV, pair, 0, 64, PARENT | root)


def blake3(data):
    return struct.pack('<8I', *subtree(data, 0, ROOT))


assert blake3(b'').hex() == 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'
assert blake3(b'abc').hex() == '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85'


# --- the claim -------------------------------------------------------------------------------------------------------
def text_bytes(value):
    if isinstance(value, dict):
        return value['repeat'].encode() * value['times'] if 'repeat' in value else bytes.fromhex(value['utf8_hex'])
    return value.encode()


def sized(value):
    data = text_bytes(value)
    return struct.pack('<I', len(data)) + data


def number(value):
    return bytes.fromhex(value['f64_hex']) if isinstance(value, dict) else struct.pack('<d', value)


def optional(claim, name, encode):
    return b'\x01' + encode(claim[name]) if name in claim else b'\0'


def floats(value):
    if isinstance(value, dict):
        return struct.pack('<I', value['times']) + struct.pack('<f', value['repeat']) * value['times']
    return struct.pack('<I', len(value)) + b''.join(struct.pack('<f', v) for v in value)


def claim_bytes(claim):
    kind, value = claim['object']['type'], claim['object']['value']
    obj = {'text': sized, 'reference': sized, 'number': number, 'boolean': lambda v: bytes([v])}[kind](value)
    return b''.join([
        TAG, sized(claim['subject']), sized(claim['predicate']), bytes([KINDS[kind]]), obj, number(claim['confidence']),
        bytes([claim['source_class']]), bytes.fromhex(claim['source_hash']), optional(claim, 'source_uri', sized),
        bytes([LIFECYCLES.index(claim['lifecycle']) + 1]), optional(claim, 'epoch', bytes.fromhex),
        optional(claim, 'parent', bytes.fromhex), bytes.fromhex(claim['agent']), struct.pack('<Q', claim['asserted_at']),
        optional(claim, 'note', sized), optional(claim, 'vector', floats),
    ])


# --- the vectors -----------------------------------------------------------------------------------------------------
AGENT = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
HASH = bytes(range(32)).hex()
BASE = {
    'subject': 'drug/aspirin/safety', 'predicate': 'has_risk', 'object': {'type': 'text', 'value': 'bleeding'},
    'confidence': 0.75, 'source_class': 1, 'source_hash': '00' * 32, 'lifecycle': 'proposed', 'agent': AGENT,
    'asserted_at': 1767225600000,
}
vectors = []


def claim_of(**changes):
    return {k: v for k, v in {**BASE, **changes}.items() if v is not None}


def text(value):
    return {'type': 'text', 'value': value}


def num(value):
    return {'type': 'number', 'value': value}


def ok(name, **changes):
    claim = claim_of(**changes)
    data = claim_bytes(claim)
    vector = {'name': name, 'claim': claim, 'claim_bytes_length': len(data), 'id_hex': blake3(data).hex()}
    if len(data) <= 2048:
        vector['claim_bytes_hex'] = data.hex()
    vectors.append(vector)


def bad(name, error, field, encoders=None, **changes):
    """encoders: what those that take plain data do instead ('normalise' to the vector named so, or 'can not say it')."""
    vector = {'name': name, 'claim': claim_of(**changes), 'error': error, 'field': field}
    if encoders is not None:
        vector['encoders'] = encoders
    vectors.append(vector)


def f64(hex_bytes):
    return {'f64_hex': hex_bytes}


def utf8(hex_bytes):
    return {'utf8_hex': hex_bytes}


def repeat(value, times):
    return {'repeat': value, 'times': times}


ok('minimal')
ok('every optional field', source_class=0, source_hash=HASH, source_uri='https://www.example.org/trial?id=7', epoch='11' * 32,
   parent='22' * 32, note='second reading', vector=[0.0, 1.0, -2.5, 3.4028234663852886e38], lifecycle='under_review')
ok('source uri only', source_uri='doi:10.1000/182')
ok('epoch only', epoch='ff' * 32)
ok('parent only', parent='ff' * 32)
ok('note only', note='n')
ok('vector only', vector=[1.5])
ok('object number', object=num(96.7))
ok('object number zero', object=num(0.0))
ok('object number negative', object=num(-273.15))
ok('object number smallest subnormal', object=num(5e-324))
ok('object number largest', object=num(1.7976931348623157e308))
ok('object boolean true', object={'type': 'boolean', 'value': True})
ok('object boolean false', object={'type': 'boolean', 'value': False})
ok('object reference', object={'type': 'reference', 'value': 'rfc://9162/section/2'})
ok('object text like a number', object=text('96.7'))
ok('object text empty', object=text(''))
ok('object text with newlines, tabs and NUL', object=text('a\n\tb\0c'))
ok('object text with a byte order mark', object=text('\ufeffx'))
ok('object text largest', object=text(repeat('x', 65536)))
ok('subject scheme', subject='rfc://9162/section/2')
ok('subject with a colon', subject='Semaglutide:BodyComposition')
ok('subject one word', subject='Tesla_Inc')
ok('subject with spaces', subject='Tesla Inc')
ok('subject largest', subject=repeat('s', 1024))
ok('subject two-byte, three-byte and four-byte characters', subject='caf\u00e9/\u6771\u4eac/\U0001f4a7')
ok('subject in NFC', subject='caf\u00e9')
ok('subject in NFD is another claim', subject='cafe\u0301')
ok('subject of last characters', subject='\u007e\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff')
ok('predicate largest', predicate=repeat('p', 256))
ok('predicate with a slash is no path', predicate='/a//b/')
ok('source uri largest', source_uri=repeat('u', 2048))
ok('note largest', note=repeat('n', 4096))
ok('vector largest', vector=repeat(0.5, 65536))
ok('confidence 0', confidence=0.0)
ok('confidence 1', confidence=1.0)
for i, name in enumerate(['regulatory', 'clinical', 'observational', 'expert', 'community', 'anecdotal']):
    if i != BASE['source_class']:
        ok('source class ' + name, source_class=i)
for name in LIFECYCLES[1:]:
    ok('lifecycle ' + name, lifecycle=name)
ok('asserted at 0', asserted_at=0)
ok('asserted at the last millisecond', asserted_at=2 ** 48 - 1)
ok('asserted before the year 2106 in seconds', asserted_at=4294967296)
ok('everything largest', subject=repeat('s', 1024), predicate=repeat('p', 256), object=text(repeat('\u6771\u4eac', 10922)),
   source_uri=repeat('u', 2048), epoch='01' * 32, parent='02' * 32, note=repeat('\u00e9', 2048), vector=repeat(-1.25, 65536))

bad('object null', 'object_null', 'object', object=None)
bad('object number NaN', 'number_not_finite', 'object', object=num(f64('000000000000f87f')))
bad('object number negative NaN with payload', 'number_not_finite', 'object', object=num(f64('010000000000f0ff')))
bad('object number infinity', 'number_not_finite', 'object', object=num(f64('000000000000f07f')))
bad('object number -infinity', 'number_not_finite', 'object', object=num(f64('000000000000f0ff')))
bad('object number -0', 'field_invalid', 'object', 'normalise: object number zero', object=num(f64('0000000000000080')))
bad('confidence -0', 'field_invalid', 'confidence', 'normalise: confidence 0', confidence=f64('0000000000000080'))
bad('confidence NaN', 'number_not_finite', 'confidence', confidence=f64('000000000000f87f'))
bad('confidence below 0', 'field_invalid', 'confidence', confidence=-5e-324)
bad('confidence above 1', 'field_invalid', 'confidence', confidence=1.0000000000000002)
bad('subject missing', 'field_missing', 'subject', subject=None)
bad('subject empty', 'field_invalid', 'subject', subject='')
bad('subject one byte too long', 'field_too_long', 'subject', subject=repeat('s', 1025))
bad('subject too long in bytes, not in characters', 'field_too_long', 'subject', subject=repeat('\u00e9', 513))
bad('subject with NUL', 'field_invalid', 'subject', subject='a\0b')
bad('subject with a newline at the end of a word of four', 'field_invalid', 'subject', subject='abc\ndef')
bad('subject with U+001F in the tail', 'field_invalid', 'subject', subject='abcd\u001f')
bad('subject with U+007F', 'field_invalid', 'subject', subject='ab\u007fcdef')
bad('subject with a leading slash', 'field_invalid', 'subject', subject='/drug')
bad('subject with a trailing slash', 'field_invalid', 'subject', subject='drug/')
bad('subject with an empty segment', 'field_invalid', 'subject', subject='drug//safety')
bad('subject a lone slash', 'field_invalid', 'subject', subject='/')
bad('subject a scheme alone', 'field_invalid', 'subject', subject='rfc://')
bad('subject a scheme with a bad name', 'field_invalid', 'subject', subject='9fc://a')
bad('subject a scheme in a later segment', 'field_invalid', 'subject', subject='a/rfc://b')
bad('subject an empty scheme', 'field_invalid', 'subject', subject='://a')
bad('subject an empty segment behind the scheme', 'field_invalid', 'subject', subject='rfc:///a')
bad('subject a lone high surrogate', 'text_not_utf8', 'subject', subject=utf8('61eda0bd'))
bad('subject a lone low surrogate', 'text_not_utf8', 'subject', subject=utf8('edb28061'))
bad('object text a surrogate pair in UTF-8 (CESU)', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('eda0bdedb2a7')))
bad('object text overlong slash, two bytes', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('c0af')))
bad('object text overlong slash, three bytes', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('e080af')))
bad('object text overlong, four bytes', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('f08080af')))
bad('object text beyond U+10FFFF', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('f4908080')))
bad('object text five-byte form', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('f888808080')))
bad('object text cut short', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('61626364e69d')))
bad('object text a lone trail byte', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('6162636480')))
bad('object text Latin-1', 'text_not_utf8', 'object', 'can not say it', object=text(utf8('636166e9')))
bad('object text one byte too long', 'field_too_long', 'object', object=text(repeat('x', 65537)))
bad('object reference empty', 'field_invalid', 'object', object={'type': 'reference', 'value': ''})
bad('object reference too long', 'field_too_long', 'object', object={'type': 'reference', 'value': repeat('r', 2049)})
bad('object reference with a tab', 'field_invalid', 'object', object={'type': 'reference', 'value': 'a\tb'})
bad('predicate missing', 'field_missing', 'predicate', predicate=None)
bad('predicate empty', 'field_invalid', 'predicate', predicate='')
bad('predicate too long', 'field_too_long', 'predicate', predicate=repeat('p', 257))
bad('predicate with a control character', 'field_invalid', 'predicate', predicate='a\u0001')
bad('source uri empty', 'field_invalid', 'source_uri', source_uri='')
bad('source uri too long', 'field_too_long', 'source_uri', source_uri=repeat('u', 2049))
bad('source uri with a newline', 'field_invalid', 'source_uri', source_uri='https://a\n')
bad('source class 6', 'field_invalid', 'source_class', source_class=6)
bad('lifecycle missing', 'field_missing', 'lifecycle', lifecycle=None)
bad('lifecycle unknown', 'field_invalid', 'lifecycle', lifecycle='forgotten')
bad('agent missing', 'field_missing', 'agent', agent=None)
bad('source hash missing', 'field_missing', 'source_hash', source_hash=None)
bad('asserted at 2^48', 'field_invalid', 'asserted_at', asserted_at=2 ** 48)
bad('note empty', 'field_invalid', 'note', note='')
bad('note too long', 'field_too_long', 'note', note=repeat('n', 4097))
bad('vector empty', 'field_invalid', 'vector', vector=[])
bad('vector too long', 'field_too_long', 'vector', vector=repeat(0.5, 65537))
bad('vector with NaN', 'number_not_finite', 'vector', vector=[1.0, {'f32_hex': '0000c07f'}])
bad('vector with infinity', 'number_not_finite', 'vector', vector=[{'f32_hex': '000080ff'}])
bad('vector with -0', 'field_invalid', 'vector', 'normalise: vector with 0', vector=[1.5, {'f32_hex': '00000080'}])
ok('vector with 0', vector=[1.5, 0.0])

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'claims.json')
with open(path, 'w', encoding='utf-8', newline='\n') as file:
    head = {'format': 'stemedb.claim.v1', 'described_in': 'docs/formats/claim.md', 'written_by': 'test/vectors/claims.py'}
    file.write('{\n')
    for key, value in head.items():
        file.write(f'  {json.dumps(key)}: {json.dumps(value)},\n')
    file.write('  "vectors": [\n')
    file.write(',\n'.join('    ' + json.dumps(vector) for vector in vectors))
    file.write('\n  ]\n}\n')
print(f'{len(vectors)} vectors')
