"""Checks a .tlog-proof file without any code of StemeDB: hashlib, and openssl for Ed25519.

usage: check_tlog_proof.py FILE PUBLIC_KEY_HEX ASSERTION_ID_HEX
Written from RFC 9162 (2.1.3.2), c2sp.org/tlog-proof, /tlog-checkpoint and /signed-note. Prints "index size", or why not and exits with 1.
"""
import base64
import hashlib
import os
import subprocess
import sys
import tempfile


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def verify_ed25519(key, message, signature):
    # SubjectPublicKeyInfo of an Ed25519 key: a fixed prefix (RFC 8410), then the key.
    der = bytes.fromhex("302a300506032b6570032100") + key
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, content in (("key", der), ("message", message), ("signature", signature)):
            paths[name] = os.path.join(folder, name)
            with open(paths[name], "wb") as file:
                file.write(content)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths["key"], "-rawin",
                               "-in", paths["message"], "-sigfile", paths["signature"]], capture_output=True)
        return done.returncode == 0


def main(path, key_hex, id_hex):
    key = bytes.fromhex(key_hex)
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    proof, checkpoint = text.split("\n\n", 1)
    lines = proof.split("\n")
    assert lines.pop(0) == "c2sp.org/tlog-proof@v1", "header"
    if lines[0].startswith("extra "):
        base64.b64decode(lines.pop(0)[6:], validate=True)
    word, index = lines.pop(0).split(" ")
    assert word == "index" and str(int(index)) == index, "index"
    hashes = [base64.b64decode(line, validate=True) for line in lines]
    assert all(len(h) == 32 for h in hashes), "hashes"

    body, signatures = checkpoint.rsplit("\n\n", 1)
    body += "\n"
    origin, size, root = body.split("\n")[:3]
    key_id = sha(origin.encode(), b"\n\x01", key)[:4]
    ours = [line for line in signatures.split("\n")[:-1] if line.startswith("\u2014 " + origin + " ")]
    signed = [base64.b64decode(line.split(" ")[2], validate=True) for line in ours]
    signed = [s[4:] for s in signed if s[:4] == key_id]
    assert signed and all(verify_ed25519(key, body.encode(), s) for s in signed), "signature of the checkpoint"

    fn, sn = int(index), int(size) - 1
    assert fn <= sn, "index beyond the tree"
    r = sha(b"\x00", bytes.fromhex(id_hex))
    for p in hashes:
        assert sn != 0, "path too long"
        if fn & 1 or fn == sn:
            r = sha(b"\x01", p, r)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = sha(b"\x01", r, p)
        fn >>= 1
        sn >>= 1
    assert sn == 0 and r == base64.b64decode(root, validate=True), "path does not lead to the root"
    print(index, size)


try:
    main(*sys.argv[1:])
except (AssertionError, ValueError) as error:
    print("not proven:", error)
    sys.exit(1)
