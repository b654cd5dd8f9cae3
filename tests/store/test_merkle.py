"""The tree, its proofs and the signatures, against the agreed vectors and against the definition in RFC 6962."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anonymize.store.ledger_verifier import (
    EMPTY_ROOT,
    AlteredError,
    Checkpoint,
    RightEdge,
    UnknownSignerError,
    VerifyKey,
    leaf_hash,
    note_text,
    verify_consistency,
    verify_inclusion,
)
from anonymize.store.proofs import consistency_path, inclusion_path
from anonymize.store.signing import signed_note, verify_key
from tests.zones.vectors import vectors

MOST = 40
LEAVES = [leaf_hash(b"leaf %d" % number) for number in range(600)]


def by_definition(leaves):
    """MTH of RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


def edge_of(leaves):
    edge = RightEdge()
    for leaf in leaves:
        edge.append(leaf)
    return edge


def subtree(first, last):
    return by_definition(LEAVES[first:last])


ROOTS = [by_definition(LEAVES[:size]) for size in range(MOST + 1)]


def test_roots_of_the_vectors():
    agreed = vectors("merkle_rfc6962")
    leaves = [leaf_hash(bytes.fromhex(text)) for text in agreed["leaves_hex"]]
    assert len(agreed["roots"]) == 9
    for size, root in agreed["roots"].items():
        assert edge_of(leaves[: int(size)]).root().hex() == root


def test_proofs_of_the_vectors():
    agreed = vectors("merkle_rfc6962")
    leaves = [leaf_hash(bytes.fromhex(text)) for text in agreed["leaves_hex"]]
    roots = [bytes.fromhex(agreed["roots"][str(size)]) for size in range(9)]
    over = lambda first, last: by_definition(leaves[first:last])  # noqa: E731
    for second in range(9):
        for index in range(second):
            verify_inclusion(leaves[index], index, second, inclusion_path(index, second, over), roots[second])
        for first in range(second + 1):
            path = consistency_path(first, second, over)
            verify_consistency(first, second, path, (roots[first], roots[second]))


def test_signatures_of_the_vectors():
    for one in vectors("ed25519_rfc8032"):
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(one["sk"]))
        message = bytes.fromhex(one["msg"])
        assert key.sign(message).hex() == one["sig"]
        assert verify_key(key, "any").accepts(bytes.fromhex(one["sig"]), message)
        assert not verify_key(key, "any").accepts(bytes.fromhex(one["sig"]), message + b"x")


def test_the_signed_note_of_the_vectors():
    agreed = vectors("signed_note")
    key = VerifyKey.parse(agreed["vkey"])
    assert key.text == agreed["vkey"]
    assert note_text(agreed["note"], [key]) == "This is an example message.\n"
    for place in range(len(agreed["note"])):
        altered = agreed["note"][:place] + "x" + agreed["note"][place + 1 :]
        if altered != agreed["note"]:
            with pytest.raises(AlteredError):
                note_text(altered, [key])


@pytest.mark.parametrize("size", [*range(MOST + 1), 255, 256, 257, 511, 512, 513, 600])
def test_the_right_edge_is_the_definition(size):
    edge = edge_of(LEAVES[:size])
    assert edge.size == size
    assert edge.root() == by_definition(LEAVES[:size])
    other = edge.copy()
    other.append(LEAVES[0])
    assert edge.root() == by_definition(LEAVES[:size])


def test_chunks_stand_for_their_leaves():
    edge, chunks = RightEdge(), RightEdge()
    for leaf in LEAVES:
        chunk = edge.append(leaf)
        assert (chunk is not None) == (edge.size % 256 == 0)
        if chunk is not None:
            chunks.append_chunk(chunk)
    assert chunks.size == 512
    for leaf in LEAVES[512:]:
        chunks.append(leaf)
    assert chunks.root() == edge.root()


def test_every_inclusion_proof_holds_and_no_other_does():
    for size in range(1, MOST + 1):
        for index in range(size):
            path = inclusion_path(index, size, subtree)
            verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])
            spoilt = [(*path[:at], bytes(32), *path[at + 1 :]) for at in range(len(path))]
            for other in (*spoilt, path[:-1], path[1:], (*path, bytes(32)), (bytes(32), *path)):
                if other != path:
                    with pytest.raises(AlteredError):
                        verify_inclusion(LEAVES[index], index, size, other, ROOTS[size])
            for wrong in (index - 1, index + 1, size):
                with pytest.raises(AlteredError):
                    verify_inclusion(LEAVES[index], wrong, size, path, ROOTS[size])
            with pytest.raises(AlteredError):
                verify_inclusion(LEAVES[index + 1], index, size, path, ROOTS[size])


def test_every_consistency_proof_holds_and_no_other_does():
    for second in range(MOST + 1):
        for first in range(second + 1):
            path = consistency_path(first, second, subtree)
            roots = ROOTS[first], ROOTS[second]
            verify_consistency(first, second, path, roots)
            spoilt = [(*path[:at], bytes(32), *path[at + 1 :]) for at in range(len(path))]
            for other in (*spoilt, path[:-1], (*path, bytes(32))):
                if other != path:
                    with pytest.raises(AlteredError):
                        verify_consistency(first, second, other, roots)
            for wrong in ((bytes(32), roots[1]), (roots[0], bytes(32))):
                if first or wrong[0] != roots[0]:  # of nothing, everything is a continuation
                    with pytest.raises(AlteredError):
                        verify_consistency(first, second, path, wrong)
    for first, second in ((3, 2), (3, 5), (-1, 2)):
        with pytest.raises(AlteredError):
            verify_consistency(first, second, (), (ROOTS[first], ROOTS[second]))


KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KNOWN = verify_key(KEY, "here.example/a")


def test_signatures_of_unknown_keys_say_nothing():
    note = signed_note("text\n", KEY, "here.example/a")
    line = signed_note("text\n", OTHER, "there.example/b").split("\n\n")[1]
    assert note_text(note + line, [KNOWN]) == "text\n"
    for unknown in (verify_key(OTHER, "here.example/a"), verify_key(KEY, "elsewhere.example")):
        with pytest.raises(UnknownSignerError):
            note_text(note, [unknown])
    with pytest.raises(UnknownSignerError):
        note_text(note, [])
    assert note_text(note, [VerifyKey("", KNOWN.public)]) == "text\n"  # a PEM file: any name


def test_one_wrong_signature_of_a_known_key_is_enough():
    note = signed_note("text\n", KEY, "here.example/a")
    wrong = signed_note("other\n", KEY, "here.example/a").split("\n\n")[1]
    with pytest.raises(AlteredError, match="is wrong"):
        note_text(note + wrong, [KNOWN])


@pytest.mark.parametrize(
    "text", ["", "text", "text\n", "text\n\n", "a\tb\n\n— x y\n", "text\n\n- here.example/a AAAA\n"]
)
def test_what_is_no_note_is_refused(text):
    with pytest.raises(AlteredError):
        note_text(text, [KNOWN])


def test_a_signed_text_with_control_characters_is_refused():
    for text in ("a\x01b\n", "a\rb\n", "a\tb\n", "x" * (1 << 20) + "\n"):
        with pytest.raises(AlteredError, match="control characters"):
            note_text(signed_note(text, KEY, "here.example/a"), [KNOWN])


def test_a_key_with_another_id_is_refused():
    name, number, raw = KNOWN.text.split("+", 2)
    for text in (
        f"{name}+00000000+{raw}",
        f"{name} x+{number}+{raw}",
        f"{name}+{number}+{raw[:-4]}",
        name,
        "",
    ):
        with pytest.raises(AlteredError):
            VerifyKey.parse(text)


def test_one_root_has_one_spelling():
    """The last letter of base64 has two bits that say nothing: another spelling is another text under a signature."""
    text = Checkpoint("here.example/a", 17, bytes(32)).text
    assert text.endswith("AAA=\n")
    for letter in "BCD":
        with pytest.raises(AlteredError, match="one form"):
            Checkpoint.parse(text[:-3] + letter + "=\n")


def test_checkpoints_read_as_they_are_written():
    one = Checkpoint("here.example/a", 17, ROOTS[17])
    assert one.text.count("\n") == 3
    assert Checkpoint.parse(one.text) == one
    assert Checkpoint.parse(one.text + "an extension\n") == one
    origin, size, root = one.text.splitlines()
    for wrong in (
        f"{origin}\n017\n{root}\n",
        f"\n{size}\n{root}\n",
        f"{origin}\n-1\n{root}\n",
        f"{origin}\n17\n{root[4:]}\n",
        "",
    ):
        with pytest.raises(AlteredError):
            Checkpoint.parse(wrong)
    assert Checkpoint("here.example/a", 0, EMPTY_ROOT) == Checkpoint.parse(
        Checkpoint("here.example/a", 0, EMPTY_ROOT).text
    )
