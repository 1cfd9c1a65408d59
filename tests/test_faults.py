"""Bad input, a bad place to write to, and a run that is cut off: a clear message, the right exit code, nothing lost."""
import bz2
import errno
import gzip
import io
import json
import lzma
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import zstandard
from conftest import heed_ctrl_c
from faults import (FIVE, HEAD, SIMS, array, assert_nothing_lost, assert_refused, assert_reject_is_whole, bare, changed, command, convert, convert_bytes,
                    digests, document, ids, lines, put, repeated, replaced, texts)

from tracekit import dataset, pipeline
from tracekit import plan as planning
from tracekit.source import InputError

LINES, ARRAY, DOCUMENT = lines(texts()), array(texts()), document()
NESTED = 100_000


def packed_zip(files):
    "A zip archive of files, given as name -> bytes"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items(): archive.writestr(name, data)
    return made.getvalue()


def packed_zst(data, size=1 << 14):
    "zstd data in many blocks, as a long log has them"
    packer = zstandard.ZstdCompressor().compressobj()
    blocks = [packer.compress(data[at:at + size]) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for at in range(0, len(data), size)]
    return b"".join(blocks) + packer.flush()


# ---- whole inputs that are refused

BEFORE_SIMULATIONS = DOCUMENT[:DOCUMENT.index(b'"simulations"')]

REFUSED = {
    "no JSON": ("a.json", b"Hello, this is a letter.", ["not JSON", "Hello", r"expected \{ or \["]),
    "a number": ("a.json", b"42", ["42", r"expected \{ or \["]),
    "a string": ("a.json", b'"a log"', ["a log", r"expected \{ or \["]),
    "null": ("a.json", b"null", ["null", r"expected \{ or \["]),
    "an object that is no log": ("a.json", b'{"name": "tracekit", "version": 1}',
                                 ["no known format", "name, version", "tau2", "simulations", "--format", "bring_your_own_format"]),
    "lines that are no log": ("a.jsonl", b'{"level": "info"}\n{"level": "warn"}\n', ["no known format", "level", "tau2", "--format", "bring_your_own_format"]),
    "a list of numbers": ("a.json", b"[1, 2, 3]", ["no known format", "int|number", "bring_your_own_format"]),
    "an unknown object with a lone surrogate": ("a.json", b'{"a\\ud800": 1}', ["no known format", "bring_your_own_format"]),
    "truncated before the simulations": ("a.json", BEFORE_SIMULATIONS, ["not valid JSON", "ends in the middle", "broke off"]),
    "truncated in the head": ("a.json", DOCUMENT[:200], ["not valid JSON", "ends in the middle", "broke off"]),
    "empty": ("a.json", b"", ["empty"]),
    "empty lines": ("a.jsonl", b"", ["empty"]),
    "white space": ("a.json", b" \r\n\t\n", ["white space"]),
    "only a byte order mark": ("a.json", b"\xef\xbb\xbf", ["empty|white space"]),
    "UTF-16 with mark": ("a.json", DOCUMENT.decode().encode("utf-16"), ["UTF-16", "UTF-8", "iconv"]),
    "UTF-16, big end first": ("a.json", b"\xfe\xff" + DOCUMENT.decode().encode("utf-16-be"), ["UTF-16", "iconv"]),
    "UTF-16 without mark": ("a.json", DOCUMENT.decode().encode("utf-16-le"), ["UTF-16", "iconv"]),
    "UTF-16 lines without mark": ("a.jsonl", LINES.decode().encode("utf-16-be"), ["UTF-16", "iconv"]),
    "deep lists": ("a.json", b"[" * NESTED + b"]" * NESTED, ["nested too deeply"]),
    "deep lists, unclosed": ("a.json", b"[" * NESTED, ["nested too deeply"]),
    "deep objects": ("a.json", b'{"a":' * NESTED + b"1" + b"}" * NESTED, ["nested too deeply"]),
    "gzip data named .json": ("a.json", gzip.compress(DOCUMENT), ["gzip", r"\.gz"]),
    "zstd data named .json": ("a.json", packed_zst(DOCUMENT), ["zstd", r"\.zst"]),
    "a zip archive named .json": ("a.json", packed_zip({"a.json": DOCUMENT}), ["zip", r"\.zip"]),
    "xz data named .json": ("a.json", lzma.compress(DOCUMENT), ["xz", r"\.xz"]),
    "bzip2 data named .json": ("a.json", bz2.compress(DOCUMENT), ["bz", r"\.bz2"]),
    "JSON named .gz": ("a.json.gz", DOCUMENT, ["gzip"]),
    "gzip of nothing": ("a.json.gz", gzip.compress(b""), ["empty"]),
    "gzip that breaks off at once": ("a.json.gz", gzip.compress(DOCUMENT)[:5], ["breaks off"]),
    "zstd that breaks off in its first block": ("a.json.zst", zstandard.ZstdCompressor().compress(DOCUMENT)[:300], ["breaks off"]),
    "half a zip archive": ("a.zip", packed_zip({"a.json": DOCUMENT})[:3000], ["zip archive"]),
    "a zip archive without a log": ("a.zip", packed_zip({"a.txt": DOCUMENT}), ["archive holds no", r"\.jsonl"]),
}


@pytest.mark.parametrize("filename, data, words", REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, filename, data, words):
    "A file that is no log is refused as a whole, by name"
    assert_refused(convert_bytes(tmp_path, filename, data), filename, *words)


def test_no_words_of_python_in_messages(tmp_path):
    "A record that is null is called null"
    made = convert_bytes(tmp_path, "a.json", b"[null, null]")
    assert_refused(made, "no known format")
    assert "NoneType" not in made.said


ABSENT = {"missing.json": ["missing.json", "no such file"], "empty": ["empty", "holds no", r"\.jsonl"], "*.nothing": [r"\*\.nothing", "no such file"],
          "a.json/below": ["no such file"], "folder.json": ["folder.json", "holds no"]}


@pytest.mark.parametrize("given, words", ABSENT.items(), ids=ABSENT)
def test_inputs_that_are_not_there(tmp_path, given, words):
    "A missing file, a folder without logs, a glob without matches, a folder where a file is expected"
    put(tmp_path/"in", {"a.json": DOCUMENT, "empty/readme.txt": b"", "empty/.hidden.json": DOCUMENT, "folder.json/readme.txt": b""})
    assert_refused(convert(tmp_path/"in"/given, tmp_path/"out"), *words)


@pytest.mark.parametrize("options", [["--bogus"], ["--workers", "0"], ["--workers", "many"], ["--to", "xml"]], ids=" ".join)
def test_bad_usage(tmp_path, options):
    "Exit code 2, and a word on usage"
    log = put(tmp_path, {"a.json": DOCUMENT})/"a.json"
    result = command("convert", log, "-o", tmp_path/"out", *options)
    assert result.exit_code == 2 and "Usage" in result.output and options[0] in result.output
    assert not (tmp_path/"out").exists()


def test_bad_usage_without_input():
    "The input is named as what is missing"
    result = command("convert")
    assert result.exit_code == 2 and "INPUT" in result.output


@pytest.mark.parametrize("name", ["a/b", "../x", "/x", ".", ".."])
@pytest.mark.parametrize("to", ["jsonl", "parquet"])
def test_a_name_that_is_a_path_is_refused(tmp_path, name, to):
    "A dataset cannot be named out of its folder"
    log = put(tmp_path/"in", {"a.json": DOCUMENT})/"a.json"
    out = put(tmp_path/"deep"/"out", {"precious.txt": b"kept"})
    result = command("convert", log, "-o", out, "--name", name, "--to", to)
    assert result.exit_code in (1, 2) and "name" in result.output
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.json", "precious.txt"]


def test_an_unknown_format_is_refused(tmp_path):
    "The message lists the formats there are"
    assert_refused(convert_bytes(tmp_path, "a.json", DOCUMENT, "--format", "nonsense"), "nonsense", "tau2")


# ---- logs that are odd and sound

SOUND = {
    "a byte order mark, lines": ("a.jsonl", b"\xef\xbb\xbf" + LINES),
    "a byte order mark, list": ("a.json", b"\xef\xbb\xbf" + ARRAY),
    "blank lines": ("a.jsonl", b"\n\n" + b"\n \n\n".join(texts()) + b"\n\n"),
    "CRLF": ("a.jsonl", LINES.replace(b"\n", b"\r\n")),
    "CRLF and blank lines": ("a.jsonl", b"\r\n\r\n".join(texts()) + b"\r\n"),
    "no final newline": ("a.jsonl", LINES[:-1]),
    "lines named .json": ("a.json", LINES),
    "a list": ("a.json", ARRAY),
    "a list on many lines": ("a.json", json.dumps(FIVE, indent=2).encode()),
    "a list with white space around": ("a.json", b"\n\n  " + ARRAY + b"\r\n \n"),
    "a list named .jsonl": ("a.jsonl", ARRAY),
    "concatenated values on many lines": ("a.json", b"\n".join(texts(indent=1))),
    "concatenated values without a newline": ("a.json", b"".join(texts(indent=1))),
    "concatenated values on one line": ("a.json", b"".join(texts())),
    "a document of nothing else": ("a.json", b'{"simulations": ' + ARRAY + b"}"),
}


@pytest.mark.parametrize("filename, data", SOUND.values(), ids=SOUND)
def test_sound(tmp_path, filename, data):
    "The same simulations give the same rows, however they are written"
    plain = convert_bytes(tmp_path/"plain", "a.jsonl", LINES)
    assert plain.ids == ids(FIVE)
    made = convert_bytes(tmp_path/"odd", filename, data)
    assert_nothing_lost(made, 5)
    assert [bare(row) for row in made.rows] == [bare(row) for row in plain.rows]


SOUND_DOCUMENTS = {
    "plain": DOCUMENT, "mark": b"\xef\xbb\xbf" + DOCUMENT, "head behind": json.dumps({"simulations": FIVE} | HEAD).encode(),
    "CRLF": json.dumps(HEAD | {"simulations": FIVE}, indent=1).replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("data", SOUND_DOCUMENTS.values(), ids=SOUND_DOCUMENTS)
def test_sound_documents(tmp_path, data):
    "A document keeps its head, wherever that stands"
    made = convert_bytes(tmp_path, "a.json", data)
    assert_nothing_lost(made, 5)
    assert made.ids == ids(FIVE) and {row["domain"] for row in made.rows} == {"telecom"}


@pytest.mark.parametrize("data", [document([]), b'{"simulations": []}', json.dumps(HEAD | {"simulation_index": []}).encode()], ids=["document", "bare", "index"])
def test_no_records(tmp_path, data):
    "A log of nothing is sound: exit code 0, nothing written, and the command says so"
    made = convert_bytes(tmp_path, "results.json", data)
    assert_nothing_lost(made, 0)
    assert "no records" in made.said and "nothing was written" in made.said and made.left == []


def test_no_records_in_a_list(tmp_path):
    "An empty list is sound as well, once its format is named"
    made = convert_bytes(tmp_path, "a.json", b"[]", "--format", "tau2")
    assert_nothing_lost(made, 0)
    assert "nothing was written" in made.said


# ---- logs with broken records

BROKEN = FIVE[2]["id"].encode()
HALF = texts()[2][:3000] + texts()[2][3050:]
DEEP = json.dumps(FIVE[2] | {"info": None}).encode().replace(b'"info": null', b'"info": ' + b"[" * NESTED + b"]" * NESTED)
BAD_RECORDS = {
    "null": (b"null", "fields", "null"),
    "a number": (b"7", "fields", "int|number"),
    "a list": (b"[1, 2]", "fields", "array|list"),
    "a string": (b'"text"', "fields", "str"),
    "true": (b"true", "fields", "bool"),
    "no JSON": (b"{'id': 'x'}", "decode", "not JSON"),
    "without a closing brace": (texts()[2][:-1], "decode", "not JSON"),
    "its end is missing": (texts()[2][:-30], "decode", "not JSON"),
    "its second half is missing": (texts()[2][:3000], "decode", "not JSON"),
    "without a colon": (texts()[2].replace(b'": ', b'" ', 1), "decode", "not JSON"),
    "invalid UTF-8": (texts()[2].replace(BROKEN, b"\xff\xfe", 1), "decode", "not UTF-8"),
    "an encoded surrogate": (texts()[2].replace(BROKEN, b"\xed\xa0\x80", 1), "decode", "not UTF-8"),
    "100,000 levels": (DEEP, "decode", "nested too deeply"),
    "messages of a wrong kind": (json.dumps(FIVE[2] | {"messages": "none"}).encode(), "fields", "expected `array"),
    "an unknown role": (json.dumps(FIVE[2] | {"messages": [{"role": "narrator", "content": "once"}]}).encode(), "convert", "narrator"),
}
SHAPES = {"lines": ("a.jsonl", lines), "lines named json": ("a.json", lines), "lines apart": ("a.jsonl", lambda records: lines(records).replace(b"\n", b"\n\n")),
          "list": ("a.json", array), "document": ("a.json", document)}


@pytest.mark.parametrize("filename, shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("text, stage, words", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_one_broken_record(tmp_path, filename, shape, text, stage, words):
    "It is set aside, by number, place and cause; the records around it become rows"
    made = convert_bytes(tmp_path, filename, shape(replaced(texts(), 2, text)))
    assert made.ids == ids(FIVE[:2] + FIVE[3:])
    assert_nothing_lost(made, 5)
    [reject] = made.rejects
    assert (reject["stage"], reject["record"], reject["offset"]) == (stage, 2, shape(replaced(texts(), 2, b"@@@")).index(b"@@@"))
    assert re.search(words, reject["cause"]) and "set aside" in made.said


@pytest.mark.parametrize("n", [0, 1, 4], ids=["first", "second", "last"])
@pytest.mark.parametrize("text", [b"null", b"[1, 2]", b"{}}", b'{"id": "x", "messages": [{"role": "user"', b"oops"],
                         ids=["null", "list", "brace too many", "truncated", "no JSON"])
@pytest.mark.parametrize("filename", ["a.jsonl", "a.json"])
def test_a_broken_line(tmp_path, filename, text, n):
    "A broken line costs no other line, wherever it stands, and is told by its number"
    made = convert_bytes(tmp_path, filename, lines(replaced(texts(), n, text)))
    assert made.ids == ids(FIVE[:n] + FIVE[n + 1:])
    assert_nothing_lost(made, 5)
    [reject] = made.rejects
    assert (reject["record"], reject["line"], reject["text"]) == (n, n + 1, text.decode())
    assert f"line {n + 1}" in made.said


@pytest.mark.parametrize("text", [b"null", b"7", texts()[0][:-40], texts()[0].replace(b'": ', b'" ', 1)], ids=["null", "number", "truncated", "colon"])
def test_a_list_with_a_broken_first_record(tmp_path, text):
    "The format is known by a later record"
    made = convert_bytes(tmp_path, "a.json", array(replaced(texts(), 0, text)))
    assert made.ids == ids(FIVE[1:])
    assert_nothing_lost(made, 5)


def test_two_commas(tmp_path):
    "A record that is not there at all costs no other, whether it is set aside or passed over"
    made = convert_bytes(tmp_path, "a.json", array(replaced(texts(), 2, b"")))
    assert made.ids == ids(FIVE[:2] + FIVE[3:])
    assert_nothing_lost(made, 4 + len(made.rejects))
    assert not [reject for reject in made.rejects if FIVE[3]["id"] in reject["text"]]


@pytest.mark.parametrize("n", [0, 2, 4])
def test_a_broken_value_among_concatenated_ones(tmp_path, n):
    "Pretty-printed values: the broken one makes no rows of its pieces, and costs no other"
    records = texts(indent=1)
    made = convert_bytes(tmp_path, "a.json", b"\n".join(replaced(records, n, records[n][:-200])))
    assert made.ids == ids(FIVE[:n] + FIVE[n + 1:])
    assert made.rejects and made.code == 3
    for reject in made.rejects: assert_reject_is_whole(reject)


@pytest.mark.parametrize("tail", [b"garbage", b'{"more": 1}', b"]", ARRAY[:300], b"\n\n  and so on\n"], ids=["word", "object", "bracket", "half a list", "line"])
def test_a_list_with_trailing_garbage(tmp_path, tail):
    "The rows stay, the rest is one reject with its text"
    made = convert_bytes(tmp_path, "a.json", ARRAY + tail)
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 6)
    assert made.rejects[0]["text"] == tail.decode().strip() and "after the end" in made.rejects[0]["cause"]


@pytest.mark.parametrize("tail", [b"garbage", b"\n" + document(texts(SIMS[5:8])), ARRAY], ids=["word", "another document", "list"])
def test_a_document_with_trailing_text(tmp_path, tail):
    "What stands behind a document is not lost without a word: it becomes rows, or is set aside"
    made = convert_bytes(tmp_path, "a.json", DOCUMENT + tail)
    assert made.ids[:5] == ids(FIVE)
    assert made.code == 3 or len(made.rows) > 5
    assert made.code == 0 or made.rejects


def test_a_document_on_each_line(tmp_path):
    "The simulations of the second document are not lost without a word"
    made = convert_bytes(tmp_path, "a.jsonl", lines([document(texts(FIVE[:2])), document(texts(FIVE[2:]))]))
    assert made.code != 0 or made.ids == ids(FIVE)


# ---- truncated logs

def complete(data, at):
    "How many of the five simulations are whole in the first `at` bytes"
    return sum(data.index(text) + len(text) <= at for text in texts())


def cuts(data, count=12):
    "Places in the records of a log, from inside the second on"
    first, last = data.index(texts()[1]) + 10, data.index(texts()[4]) + len(texts()[4]) - 1
    return [first + n * (last - first) // (count - 1) for n in range(count)]


@pytest.mark.parametrize("filename, data", [("a.jsonl", LINES), ("a.json", ARRAY), ("a.json", DOCUMENT)], ids=["lines", "list", "document"])
def test_truncated_in_a_record(tmp_path, filename, data):
    "The records before the break become rows, the tail is one reject"
    for at in cuts(data):
        made = convert_bytes(tmp_path/str(at), filename, data[:at])
        whole = complete(data, at)
        assert made.ids == ids(FIVE[:whole]) and 1 <= whole < 5
        assert_nothing_lost(made, whole + 1)
        assert made.rejects[0]["record"] == whole and data[:at].rstrip().endswith(made.rejects[0]["text"].encode())


@pytest.mark.parametrize("data", [ARRAY, DOCUMENT], ids=["list", "document"])
@pytest.mark.parametrize("back", [0, 1, 2], ids=["behind the space", "behind the comma", "behind the record"])
def test_truncated_between_records(tmp_path, data, back):
    "It cannot be known how many are missing: one reject says that some are"
    made = convert_bytes(tmp_path, "a.json", data[:data.index(texts()[3]) - back])
    assert made.ids == ids(FIVE[:3])
    assert_nothing_lost(made, 4)
    assert "records are missing" in made.rejects[0]["cause"] and made.rejects[0]["stage"] == "open"


def test_truncated_lines_between_records(tmp_path):
    "Lines that end between two records are sound"
    made = convert_bytes(tmp_path, "a.jsonl", lines(texts()[:3]))
    assert made.ids == ids(FIVE[:3])
    assert_nothing_lost(made, 3)


@pytest.mark.parametrize("pack, ending", [(gzip.compress, "gz"), (lzma.compress, "xz"), (packed_zst, "zst")], ids=["gz", "xz", "zst"])
@pytest.mark.parametrize("filename, make", [("a.jsonl", lines), ("a.json", array)], ids=["lines", "list"])
def test_truncated_packed_log(tmp_path, filename, make, pack, ending):
    "Packed data that breaks off: the rows before the break, and a reject that names the damage"
    data = pack(make(texts(SIMS)))
    made = convert_bytes(tmp_path, f"{filename}.{ending}", data[:len(data)*2//3])
    assert made.code == 3 and 1 <= len(made.rows) < len(SIMS) and made.ids == ids(SIMS)[:len(made.rows)]
    assert "breaks off" in made.rejects[-1]["cause"] and made.rejects[-1]["stage"] == "open"
    assert "breaks off" in made.said and 1 <= len(made.rejects) <= 2


def test_zstd_that_breaks_off_between_two_lines(tmp_path):
    "Even where what is there looks whole, the damage is told"
    packer = zstandard.ZstdCompressor().compressobj()
    made = convert_bytes(tmp_path, "a.jsonl.zst", packer.compress(LINES) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    assert made.ids == ids(FIVE)
    assert made.code == 3 and "breaks off" in made.rejects[0]["cause"]


@pytest.mark.parametrize("pack, ending", [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz"), (zstandard.ZstdCompressor().compress, "zst")],
                         ids=["gz", "bz2", "xz", "zst"])
def test_packed_in_pieces(tmp_path, pack, ending):
    "Packed files written one behind the other are read to the end"
    made = convert_bytes(tmp_path, f"a.jsonl.{ending}", pack(lines(texts()[:2])) + pack(lines(texts()[2:])))
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 5)


def test_damage_inside_gzip(tmp_path):
    "A wrong byte in the middle is told"
    data = bytearray(gzip.compress(lines(texts(SIMS))))
    data[len(data)//2] ^= 255
    made = convert_bytes(tmp_path, "a.jsonl.gz", bytes(data))
    assert made.code == 3 and any("breaks off" in reject["cause"] for reject in made.rejects) and made.rows


# ---- packed logs

PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": packed_zst}


@pytest.mark.parametrize("pack, ending", [(pack, ending) for ending, pack in PACKED.items()], ids=PACKED)
@pytest.mark.parametrize("filename, data", [("a.json", DOCUMENT), ("a.jsonl", LINES), ("a.jsonl", lines(replaced(texts(), 1, b"oops")))],
                         ids=["document", "lines", "broken"])
def test_packed_equals_plain(tmp_path, filename, data, pack, ending):
    "The same bytes as the plain log, but for its name"
    convert_bytes(tmp_path/"plain", filename, data)
    made = convert_bytes(tmp_path/"packed", f"{filename}.{ending}", pack(data))
    assert made.rows and made.code in (0, 3)
    for written in ("x.jsonl", "x.rejects.jsonl", "x.yaml"):
        plain, packed = (tmp_path/kind/"out"/written for kind in ("plain", "packed"))
        assert plain.exists() == packed.exists()
        if plain.exists(): assert unnamed(packed) == unnamed(plain)


def unnamed(path):
    "The bytes of a file without the names of logs in it"
    data = path.read_bytes().replace(str(path.parents[1]).encode(), b"")
    for name in ("a.jsonl", "a.json"):
        for ending in (".gz", ".bz2", ".xz", ".zst", ""): data = data.replace(f"{name}{ending}\"".encode(), b'LOG"')
    return data


def test_zip_equals_plain(tmp_path):
    "Several logs in an archive give the rows of those logs, in order, and name both archive and log"
    files = {"b/two.jsonl": lines(texts(SIMS[3:5])), "a.json": document(texts(SIMS[:3])), "c.ndjson": lines(texts(SIMS[5:6])), "readme.txt": b"no log"}
    plain = convert(put(tmp_path/"plain", files), tmp_path/"plain_out")
    made = convert(put(tmp_path/"in", {"logs.zip": packed_zip(files)})/"logs.zip", tmp_path/"out")
    assert_nothing_lost(made, 6)
    assert made.ids == ids(SIMS[:6]) and [bare(row) for row in made.rows] == [bare(row) for row in plain.rows]
    uris = [row["trace"]["metadata"]["source_uri"] for row in made.rows]
    assert all("logs.zip" in uri for uri in uris) and [uri.split("/")[-1] for uri in uris] == ["a.json"] * 3 + ["two.jsonl"] * 2 + ["c.ndjson"]


# ---- what real tools write though it is no JSON

NAN, INFINITY = float("nan"), float("inf")


def spoken(text):
    "Messages of one"
    return [{"role": "user", "content": text}]


BAD_ARGUMENTS = [{"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": {"n": NAN, "s": "\ud800"}}]}]
MENDED = {
    "NaN": ({"reward_info": {"reward": NAN}}, "$.reward_info.reward", lambda row: row["reward"] is None and row["reward_info"] == {"reward": None}),
    "Infinity": ({"agent_cost": INFINITY}, "$.agent_cost", lambda row: row["agent_cost"] is None),
    "-Infinity, deep": ({"info": {"a": [1, {"b": -INFINITY}]}}, "$.info.a[1].b", lambda row: row["trace"]["metadata"]["extra"]["info"] == {"a": [1, {"b": None}]}),
    "a lone surrogate": ({"messages": spoken("a\ud800b")}, "$.messages[0].content", lambda row: said(row) == "a\ufffdb"),
    "the wrong half": ({"messages": spoken("\udc00 \ud83d")}, "$.messages[0].content", lambda row: said(row) == "\ufffd \ufffd"),
    "a pair stays": ({"messages": spoken("\U0001f600 \ud800")}, "$.messages[0].content", lambda row: said(row) == "\U0001f600 \ufffd"),
    "sound replacements stay": ({"messages": spoken("\ufffd\ufffd\ufffd\ud800")}, "$.messages[0].content", lambda row: said(row) == "\ufffd" * 4),
    "in a key": ({"reward_info": {"reward": 1.0, "k\ud800": {"n": NAN, "s": "\udfff"}}}, "$.reward_info",
                 lambda row: row["reward_info"]["k\ufffd"] == {"n": None, "s": "\ufffd"}),
    "in arguments": ({"messages": BAD_ARGUMENTS}, "$.messages[0].tool_calls[0].arguments",
                     lambda row: json.loads(row["trace"]["items"][0]["arguments"]) == {"n": None, "s": "\ufffd"}),
}


def said(row):
    "The text of the first item"
    return row["trace"]["items"][0]["content"][0]["text"]


@pytest.mark.parametrize("filename, shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("members, place, right", MENDED.values(), ids=MENDED)
def test_mended(tmp_path, filename, shape, members, place, right):
    "The record becomes a row of strict JSON, which says what was mended and where"
    made = convert_bytes(tmp_path, filename, shape(texts(changed(2, **members))))
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 5)
    notes = made.rows[2]["trace"]["metadata"]["extra"]["repaired"]
    assert any(note.startswith(place) for note in notes), notes
    assert right(made.rows[2]) and "mended" in made.said
    assert not any("repaired" in made.rows[n]["trace"]["metadata"]["extra"] for n in (0, 1, 3, 4))


MEND_ALL = {
    "lines": ("a.jsonl", lines), "lines named json": ("a.json", lines), "list": ("a.json", array), "document": ("a.json", document),
    "document, head behind": ("a.json", lambda records: b'{"simulations": ' + array(records) + b", " + json.dumps(HEAD).encode()[1:]),
    "document without a head": ("a.json", lambda records: b'{"simulations": ' + array(records) + b"}"),
    "concatenated": ("a.json", lambda records: b"\n".join(json.dumps(json.loads(text), indent=1).encode() for text in records)),
}


@pytest.mark.parametrize("filename, shape", MEND_ALL.values(), ids=MEND_ALL)
@pytest.mark.parametrize("value", [NAN, "\ud800"], ids=["NaN", "surrogate"])
def test_every_record_is_mended(tmp_path, filename, shape, value):
    "A log may hold such values in all its records, from the first on, in any layout"
    made = convert_bytes(tmp_path, filename, shape([json.dumps(sim | {"info": {"v": value}}).encode() for sim in FIVE]))
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 5)
    assert all(row["trace"]["metadata"]["extra"]["repaired"] for row in made.rows)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("value", [NAN, "\ud800"], ids=["NaN", "surrogate"])
def test_a_log_of_one_object_is_mended(tmp_path, value, indent):
    "One simulation a file"
    made = convert_bytes(tmp_path, "a.json", json.dumps(FIVE[0] | {"info": {"v": value}}, indent=indent).encode())
    assert made.ids == ids(FIVE[:1])
    assert_nothing_lost(made, 1)


@pytest.mark.parametrize("value", [NAN, "\ud800"], ids=["NaN", "surrogate"])
def test_a_head_is_mended(tmp_path, value):
    "A head with such a value costs no rows"
    made = convert_bytes(tmp_path, "a.json", document(info=HEAD["info"] | {"note": value}))
    assert made.ids == ids(FIVE) and {row["domain"] for row in made.rows} == {"telecom"}
    assert_nothing_lost(made, 5)


def test_a_number_beyond_a_double_is_not_lost_silently(tmp_path):
    "1e999 is mended like Infinity, or the record is set aside"
    made = convert_bytes(tmp_path, "a.json", document().replace(b'"agent_cost": ', b'"agent_cost": 1e999, "was": ', 1))
    assert_nothing_lost(made, 5)
    assert made.rejects or made.rows[0]["trace"]["metadata"]["extra"]["repaired"]


@pytest.mark.parametrize("filename, shape", SHAPES.values(), ids=SHAPES)
def test_large_integers_stay_exact(tmp_path, filename, shape):
    "Integers beyond 64 bits, wherever they stand"
    large = [2**63, 2**64, -2**63 - 1, 123456789012345678901234567890]
    calls = [{"id": "1", "name": "f", "arguments": {"n": large}}, {"id": "2", "function": {"name": "g", "arguments": json.dumps({"n": large})}}]
    message = {"role": "assistant", "tool_calls": calls, "usage": {"prompt_tokens": large[1]}}
    members = {"seed": large[3], "info": {"n": large}, "reward_info": {"reward": 1.0, "n": large}, "messages": [message]}
    made = convert_bytes(tmp_path, filename, shape(texts(changed(2, **members))))
    assert_nothing_lost(made, 5)
    row = made.rows[2]
    assert row["seed"] == large[3] and row["reward_info"]["n"] == large and row["trace"]["metadata"]["extra"]["info"]["n"] == large
    assert [json.loads(item["arguments"])["n"] for item in row["trace"]["items"]] == [large, large]
    assert row["trace"]["items"][0]["usage"]["prompt_tokens"] == large[1]


@pytest.mark.parametrize("n, options", [(0, []), (4, []), (15, ["--audit"])])
@pytest.mark.parametrize("filename, make", [("a.jsonl", lines), ("a.json", array), ("a.json", document)], ids=["lines", "list", "document"])
def test_duplicate_keys_are_reported(tmp_path, filename, make, n, options):
    "The last one counts, and the command says so"
    records = texts(SIMS)
    made = convert_bytes(tmp_path, filename, make(replaced(records, n, records[n].replace(b'"trial": ', b'"trial": 77, "trial": ', 1))), *options)
    assert_nothing_lost(made, len(SIMS))
    assert "'trial' is written twice" in made.said and made.rows[n]["trial"] == SIMS[n]["trial"]


def test_line_ends_in_text(tmp_path):
    "Text with every line end of Unicode stays on one line for every reader"
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x00g\r\nh\x1ci"
    made = convert_bytes(tmp_path, "a.jsonl", lines(texts(changed(2, messages=[{"role": "user", "content": text}]))))
    assert_nothing_lost(made, 5)
    assert said(made.rows[2]) == text
    assert len((tmp_path/"out"/"x.jsonl").read_text(encoding="utf-8").splitlines()) == 5


# ---- one huge record

@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_a_line_of_200_megabytes(tmp_path, broken):
    "One huge record among small ones is a row like the others or, if it is broken, a reject whose text is cut"
    size, log = 200_000_000, tmp_path/"a.jsonl"
    before, after = json.dumps(FIVE[1] | {"messages": [{"role": "user", "content": "@"}]}).encode().split(b"@")
    with open(log, "wb") as f: f.writelines([texts()[0], b"\n", before, b"y" * size, b"" if broken else after, b"\n", texts()[2], b"\n"])
    result = command("convert", log, "-o", tmp_path/"out", "--name", "x")
    with open(tmp_path/"out"/"x.jsonl", "rb") as f: lengths = [len(text) for text in f]
    rejects = [json.loads(text) for text in open(tmp_path/"out"/"x.rejects.jsonl", "rb")] if broken else []
    shutil.rmtree(tmp_path)
    assert result.exit_code == (3 if broken else 0) and len(lengths) == (2 if broken else 3)
    assert all(length < 100_000 for length in lengths[::2]) and (broken or size < lengths[1] < size + 100_000)
    assert result.output.splitlines()[-1] == f"read 3 rows {len(lengths)} rejected {len(rejects)}"
    if broken: assert rejects[0]["length"] == len(before) + size and rejects[0]["cut"] and len(rejects[0]["text"]) == 1 << 20 and rejects[0]["record"] == 1


@pytest.mark.parametrize("filename, shape", [("a.jsonl", lines), ("a.json", array), ("a.json", document)], ids=["lines", "list", "document"])
def test_a_record_that_is_too_large_is_set_aside_unread(tmp_path, monkeypatch, filename, shape):
    "At a limit that the message names; its neighbours are rows"
    for module in ("plan", "part"): monkeypatch.setattr(f"tracekit.{module}.LARGEST", 200_000)
    huge = json.dumps(FIVE[1] | {"info": "x" * 2_000_000}).encode()
    made = convert_bytes(tmp_path, filename, shape(replaced(texts(), 1, huge)))
    assert_nothing_lost(made, 5)
    assert made.ids == ids([FIVE[0], *FIVE[2:]]) and made.rejects[0]["length"] == len(huge) and "at most 0 MB can be one row" in made.rejects[0]["cause"]


# ---- many inputs

def test_a_bad_file_among_good_ones(tmp_path):
    "It is set aside by name, the others become rows"
    folder = put(tmp_path/"in", {"a.json": DOCUMENT, "b.json": b"no log", "c.jsonl": lines(texts(SIMS[5:7])), "d.json": b""})
    made = convert(folder, tmp_path/"out")
    assert made.ids == ids(SIMS[:7])
    assert_nothing_lost(made, 9)
    assert [(Path(r["file"]).name, r["stage"]) for r in made.rejects] == [("b.json", "open"), ("d.json", "open")]


def test_many_bad_files_and_a_bad_record(tmp_path):
    "If no record becomes a row, the rejects file still holds every one"
    files = {f"b{n:02}.json": b"no log" for n in range(12)} | {"z.jsonl": lines(texts([FIVE[0] | {"messages": [{"role": "narrator", "content": "once"}]}]))}
    made = convert(put(tmp_path/"in", files), tmp_path/"out")
    assert made.code == 3
    assert_nothing_lost(made, 13)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_records_are_counted_within_their_file(tmp_path, n):
    "Number and line of a reject are those in its own file"
    files = {f"{name}.jsonl": lines(replaced(texts(), n, b"oops")) for name in "abc"}
    made = convert(put(tmp_path/"in", files), tmp_path/"out")
    assert_nothing_lost(made, 15)
    assert [(Path(r["file"]).name, r["record"], r["line"]) for r in made.rejects] == [(f"{name}.jsonl", n, n + 1) for name in "abc"]


def test_globs(tmp_path):
    "A glob stands for its matches, in order"
    logs = {"a2.json": document(texts(SIMS[2:4])), "a1.json": document(texts(SIMS[:2])), "deep/a3.json": document(texts(SIMS[4:5]))}
    folder = put(tmp_path/"in", logs | {"b.json": b"no log"})
    made = convert(folder/"a*.json", tmp_path/"out")
    assert_nothing_lost(made, 4)
    assert made.ids == ids(SIMS[:4])
    assert convert(folder/"**"/"a*.json", tmp_path/"deep").ids == ids(SIMS[:5])


def test_a_name_with_brackets_is_no_glob(tmp_path):
    "A file that is there is taken by its name"
    made = convert_bytes(tmp_path, "run[1].json", DOCUMENT)
    assert_nothing_lost(made, 5)


def test_a_file_name_that_is_no_text(tmp_path):
    "A file name in another encoding does not stop the conversion"
    folder = put(tmp_path/"in", {"a.json": DOCUMENT})
    try: os.rename(folder/"a.json", os.fsencode(folder) + b"/caf\xe9.json")
    except OSError: pytest.skip("this file system refuses such names")
    made = convert(folder, tmp_path/"out")
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 5)


# ---- standard input

def from_stdin(tmp_path, data):
    "Convert standard input"
    return convert("-", tmp_path/"out", input=data)


def test_stdin(tmp_path):
    "The rows of standard input are those of the file, and name it as stdin"
    plain = convert_bytes(tmp_path, "a.json", DOCUMENT)
    made = from_stdin(tmp_path/"piped", DOCUMENT)
    assert made.code == 0 and [bare(row) for row in made.rows] == [bare(row) for row in plain.rows]
    assert {row["trace"]["metadata"]["source_uri"] for row in made.rows} == {"stdin"}


def test_stdin_leaves_nothing_behind(tmp_path):
    "No copy of standard input stays in the output folder"
    made = from_stdin(tmp_path, lines(replaced(texts(), 1, b"oops")))
    assert made.ids == ids(FIVE[:1] + FIVE[2:])
    assert made.left == LEFT


def test_stdin_in_rejects(tmp_path):
    "A reject names standard input, not a file that is gone"
    made = from_stdin(tmp_path, lines(replaced(texts(), 1, b"oops")))
    assert [(r["file"], r["record"], r["line"], r["text"]) for r in made.rejects] in ([("-", 1, 2, "oops")], [("stdin", 1, 2, "oops")])


@pytest.mark.parametrize("data, words", [(b"", "empty"), (b"hello", "not JSON"), (b"\n", "white space")], ids=["empty", "no JSON", "white space"])
def test_bad_stdin(tmp_path, data, words):
    "Refused like a file"
    assert_refused(from_stdin(tmp_path, data), words, "stdin|standard input")


# ---- strict

@pytest.mark.parametrize("files", [{"a.jsonl": lines(replaced(texts(), 2, b"oops"))}, {"a.json": document(replaced(texts(), 2, b"null"))}, {"a.json": DOCUMENT[:-3000]},
                                   {"a.json": DOCUMENT, "b.json": b"no log"}, {"a.json": DOCUMENT, "b.json": b""}, {"a.json": ARRAY + b"garbage"}],
                         ids=["line", "record", "truncated", "file", "empty file", "garbage"])
def test_strict_stops_at_the_first_reject(tmp_path, files):
    "Exit code 1, the place and the cause, and nothing written"
    log = put(tmp_path/"in", files)
    assert convert(log, tmp_path/"lenient").code == 3
    assert_refused(convert(log, tmp_path/"out", "--strict"), list(files)[-1])


def test_strict_keeps_old_output(tmp_path):
    "What an earlier run wrote stays"
    log = put(tmp_path/"in", {"a.jsonl": LINES})/"a.jsonl"
    convert(log, tmp_path/"out")
    before = digests(tmp_path/"out")
    log.write_bytes(LINES + b"oops\n")
    assert convert(log, tmp_path/"out", "--strict").code == 1
    assert digests(tmp_path/"out") == before and len(before) == 2 and sorted(os.listdir(tmp_path/"out")) == sorted([*before, "x.manifest.json"])


def test_strict_with_a_sound_log(tmp_path):
    "Nothing to stop at"
    assert_nothing_lost(convert_bytes(tmp_path, "a.json", DOCUMENT, "--strict"), 5)


# ---- results.json with an index, and one file a simulation

def index_layout(names=None, **files):
    "The files of a log whose results.json only lists its simulations"
    listed = json.dumps(HEAD | {"simulation_index": [{"id": id} for id in (ids(FIVE) if names is None else names)]}).encode()
    return {"results.json": listed} | {f"simulations/{sim['id']}.json": text for sim, text in zip(FIVE, texts())} | files


def one_file(n, data):
    "The index layout with other bytes in the file of simulation `n`"
    return index_layout() | {f"simulations/{FIVE[n]['id']}.json": data}


@pytest.mark.parametrize("given", ["results.json", "."], ids=["file", "folder"])
def test_index_layout(tmp_path, given):
    "The rows of the same log in one document"
    whole = convert_bytes(tmp_path/"whole", "results.json", DOCUMENT)
    made = convert(put(tmp_path/"in", index_layout())/given, tmp_path/"out")
    assert_nothing_lost(made, 5)
    assert made.rows == whole.rows


DISAGREEING = {
    "a file is missing": (index_layout([*ids(FIVE), "missing-one"]), ["missing-one", "disagree"]),
    "a file too many": (index_layout(ids(FIVE)[:4]), [FIVE[4]["id"], "disagree"]),
    "both": (index_layout([*ids(FIVE)[:4], "missing-one"]), ["missing-one", FIVE[4]["id"]]),
    "no folder": ({"results.json": index_layout()["results.json"]}, ["simulations", "5"]),
}


@pytest.mark.parametrize("files, words", DISAGREEING.values(), ids=DISAGREEING)
def test_index_and_files_disagree(tmp_path, files, words):
    "Refused, with what is missing and what to do"
    made = convert(put(tmp_path/"in", files)/"results.json", tmp_path/"out")
    assert_refused(made, "results.json", *words, "Add|convert the folder")


@pytest.mark.parametrize("data", [b"", b" ", b"no JSON", b"null", texts()[1][:500], texts()[1].decode().encode("utf-16"), b"\xff" + texts()[1]],
                         ids=["empty", "white space", "no JSON", "null", "truncated", "UTF-16", "invalid"])
def test_a_broken_file_of_an_index_layout(tmp_path, data):
    "It is one reject; the files behind it become rows"
    made = convert(put(tmp_path/"in", one_file(1, data))/"results.json", tmp_path/"out")
    assert made.ids == ids(FIVE[:1] + FIVE[2:])
    assert_nothing_lost(made, 5)
    assert FIVE[1]["id"] in made.said


def test_a_byte_order_mark_in_an_index_layout(tmp_path):
    "Converts cleanly, as it does in a log of its own"
    made = convert(put(tmp_path/"in", one_file(1, b"\xef\xbb\xbf" + texts()[1]))/"results.json", tmp_path/"out")
    assert made.ids == ids(FIVE)
    assert_nothing_lost(made, 5)


# ---- where to write

def test_output_equal_to_input_is_refused(tmp_path):
    "A log is never overwritten, not even by way of a link"
    folder = put(tmp_path, {"x.jsonl": LINES})
    os.symlink(folder/"x.jsonl", folder/"y.jsonl")
    for given, name in (("x.jsonl", "x"), ("y.jsonl", "x"), ("x.jsonl", "y")):
        result = command("convert", folder/given, "-o", folder, "--name", name)
        assert result.exit_code == 1 and "both an input and the output" in result.output and "--name" in result.output
    assert (folder/"x.jsonl").read_bytes() == LINES and sorted(os.listdir(folder)) == ["x.jsonl", "y.jsonl"]


def test_rejects_equal_to_input_is_refused(tmp_path):
    "Nor is a log that is named like the rejects"
    log = put(tmp_path, {"x.rejects.jsonl": LINES})/"x.rejects.jsonl"
    result = command("convert", log, "-o", tmp_path, "--name", "x")
    assert result.exit_code == 1 and "both an input and the output" in result.output and log.read_bytes() == LINES


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["fresh", "resume"])
def test_parquet_never_deletes_a_folder_of_logs(tmp_path, resume):
    "By default the dataset is named like the folder of logs: it must not take its place"
    put(tmp_path/"logs", {"a.json": DOCUMENT, "notes.txt": b"kept"})
    result = command("convert", tmp_path/"logs", "-o", tmp_path, "--to", "parquet", *resume)
    assert (tmp_path/"logs"/"a.json").exists() and (tmp_path/"logs"/"a.json").read_bytes() == DOCUMENT and (tmp_path/"logs"/"notes.txt").exists()
    assert result.exit_code == 1 and "logs" in result.output


def test_parquet_never_deletes_a_strange_folder(tmp_path):
    "A folder that no conversion wrote stays as it is"
    log = put(tmp_path/"in", {"a.json": DOCUMENT})/"a.json"
    out = put(tmp_path/"out", {"x/precious.txt": b"kept"})
    result = command("convert", log, "-o", out, "--name", "x", "--to", "parquet")
    assert (out/"x"/"precious.txt").exists()
    assert result.exit_code == 1 and "x" in result.output


def test_parquet_replaces_its_own_folder(tmp_path):
    "An older dataset of that name makes way"
    log = put(tmp_path/"in", {"a.json": DOCUMENT})/"a.json"
    for data, rows in ((DOCUMENT, 5), (document(texts(SIMS)), len(SIMS))):
        log.write_bytes(data)
        assert command("convert", log, "-o", tmp_path/"out", "--name", "x", "--to", "parquet").exit_code == 0
        assert len(dataset.Dataset(tmp_path/"out"/"x")) == rows
    assert sorted(os.listdir(tmp_path/"out")) == ["x", "x.manifest.json"]


def test_output_below_a_file(tmp_path):
    "The output folder cannot be made"
    log = put(tmp_path, {"a.json": DOCUMENT})/"a.json"
    assert_refused(convert(log, log/"below"), "Not a directory", "a.json")


def test_output_folder_is_a_file(tmp_path):
    "Bad usage"
    log = put(tmp_path, {"a.json": DOCUMENT})/"a.json"
    made = convert(log, log)
    assert made.code == 2 and "is a file" in made.said and log.read_bytes() == DOCUMENT


@pytest.mark.parametrize("taken", ["x.jsonl", "x.yaml", "x.rejects.jsonl"])
def test_a_folder_where_a_file_is_to_be_written(tmp_path, taken):
    "A folder of that name stays, and is named"
    log = put(tmp_path, {"a.jsonl": lines(replaced(texts(), 1, b"oops"))})/"a.jsonl"
    kept = put(tmp_path/"out", {f"{taken}/kept.txt": b"kept"})/taken/"kept.txt"
    result = command("convert", log, "-o", tmp_path/"out", "--name", "x")
    assert result.exit_code == 1 and taken in result.output and "a folder of that name" in result.output and kept.read_bytes() == b"kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission_to_read(tmp_path):
    "The file is named, and why"
    log = put(tmp_path/"in", {"a.json": DOCUMENT})/"a.json"
    log.chmod(0)
    assert_refused(convert(log, tmp_path/"out"), "a.json", "Permission denied")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission_to_write(tmp_path):
    "The folder is named, and why"
    log = put(tmp_path/"in", {"a.json": DOCUMENT})/"a.json"
    (tmp_path/"out").mkdir(mode=0o500)
    assert_refused(convert(log, tmp_path/"out"), "out", "Permission denied")


def test_a_log_that_is_no_file(tmp_path):
    "A file of an index layout that is a folder cannot be read, by root neither"
    files = index_layout()
    name = f"simulations/{FIVE[1]['id']}.json"
    del files[name]
    folder = put(tmp_path/"in", files)
    (folder/name).mkdir()
    made = convert(folder/"results.json", tmp_path/"out")
    assert made.code in (1, 3) and FIVE[1]["id"] in made.said
    if made.code == 3: assert_nothing_lost(made, 5)


# ---- a full disk

class Disk:
    "A disk with room for so many bytes; `open` opens files on it"
    def __init__(self, room): self.room = room
    def open(self, path, mode="r", **options):
        file = open(path, mode, **options)
        return Limited(file, self) if "w" in mode else file
    def take(self, size):
        if size > self.room: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size


class Limited:
    "A file on a disk that can be full"
    def __init__(self, file, disk): self.file, self.disk = file, disk
    def __enter__(self): return self
    def __exit__(self, *exc): self.file.close()
    def __getattr__(self, name): return getattr(self.file, name)
    def writelines(self, texts):
        for text in texts: self.write(text)
    def write(self, data):
        self.disk.take(len(data))
        return self.file.write(data)


@pytest.fixture
def disk(monkeypatch):
    "Let the package write to a disk with limited room"
    made = Disk(1 << 40)
    for module in (pipeline, dataset): monkeypatch.setattr(module, "open", made.open, raising=False)
    def no_copy(*arguments): raise OSError(errno.EXDEV, "not on this disk")
    monkeypatch.setattr(os, "copy_file_range", no_copy, raising=False)
    return made


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    "A log, an older dataset in the output folder, and what a run that has room enough writes"
    monkeypatch.setattr("tracekit.plan.PART", 1 << 15)
    put(tmp_path, {"old/x.jsonl": LINES, "new/x.jsonl": lines(replaced(texts(SIMS), 7, b"oops"))})
    pipeline.convert(tmp_path/"old"/"x.jsonl", tmp_path/"out", "x", progress=False)
    pipeline.convert(tmp_path/"new"/"x.jsonl", tmp_path/"right", "x", progress=False)
    assert len(pipeline.plan([tmp_path/"new"])) > 5
    return tmp_path/"new"/"x.jsonl", tmp_path/"out", digests(tmp_path/"out"), digests(tmp_path/"right")


def assert_old_stays_and_resume_completes(made, two_runs, mend):
    "Exit code 1 and words on what to do; nothing half-written; then --resume ends with the right bytes"
    log, out, old, right = two_runs
    assert made.code == 1 and "No space left" in made.said and "--resume" in made.said
    now = digests(out)
    assert all(now.get(name) in (old.get(name), right.get(name)) for name in right) and now["x.jsonl"]
    assert not [name for name in os.listdir(out) if name.endswith(".tmp")]
    mend()
    after = convert(log, out, "--resume", "--workers", "1")
    assert_nothing_lost(after, len(SIMS))
    assert digests(out) == right


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.49, 0.5, 0.52, 0.7, 0.9, 0.98])
def test_full_disk(two_runs, disk, share):
    "Wherever the room ends: in the plan, in the parts, in the rejects or in the dataset"
    log, out, old, right = two_runs
    needed = 2 * sum((out.parent/"right"/name).stat().st_size for name in right)
    disk.room = int(needed * share)
    made = convert(log, out, "--workers", "1")
    assert digests(out)["x.jsonl"] == old["x.jsonl"]
    def mend(): disk.room = 1 << 40
    assert_old_stays_and_resume_completes(made, two_runs, mend)


def at_call(number, act, names, calls):
    "Stand-ins for functions of `os`: the call with that number, counted over all of them, acts instead of doing its work"
    def stand_in(real):
        def called(*arguments, **options):
            calls.append(real.__name__)
            if len(calls) == number: act()
            return real(*arguments, **options)
        return called
    return {name: stand_in(getattr(os, name)) for name in names}


def no_space(): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FINISHING = ("fsync", "replace")


@pytest.mark.parametrize("sync", [pipeline.SYNC, 1], ids=["synced at the end", "as it grows"])
def test_the_system_has_no_room(two_runs, monkeypatch, sync):
    "The disk is full when a file is to be finished or synced, whichever it is"
    monkeypatch.setattr(pipeline, "SYNC", sync)
    log, out, old, right = two_runs
    shutil.copytree(out, out.parent/"kept")
    number = 0
    while True:
        number += 1
        shutil.rmtree(out)
        shutil.copytree(out.parent/"kept", out)
        with monkeypatch.context() as patched:
            for name, stand_in in at_call(number, no_space, FINISHING, calls := []).items(): patched.setattr(os, name, stand_in)
            made = convert(log, out, "--workers", "1")
        if len(calls) < number: break
        assert_old_stays_and_resume_completes(made, two_runs, lambda: None)
    assert number > 15 and made.code == 3 and set(FINISHING) == set(calls)


@pytest.fixture
def small_disk(tmp_path):
    "A real file system with little room; `small_disk(size)` mounts it or changes its size"
    folder = tmp_path/"disk"
    folder.mkdir()
    def mount(size):
        how = ["-o", f"remount,size={size}", str(folder)] if os.path.ismount(folder) else ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(["mount", *how], capture_output=True).returncode: pytest.skip("no file system can be mounted here")
        return folder
    if not shutil.which("mount"): pytest.skip("no mount command")
    yield mount
    if os.path.ismount(folder): subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", [192 << 10, 320 << 10, 448 << 10, 576 << 10])
@pytest.mark.parametrize("workers", [1, 2])
def test_really_full_disk(two_runs, small_disk, size, workers):
    "The same with a file system that is really full, whose copying is done by the kernel"
    log, out, old, right = two_runs
    disk = small_disk(size)
    for name in old: shutil.copy(out/name, disk/name)
    made = convert(log, disk, "--workers", workers)
    assert digests(disk)["x.jsonl"] == old["x.jsonl"]
    assert_old_stays_and_resume_completes(made, (log, disk, old, right), lambda: small_disk(64 << 20))


class FullSpool(io.FileIO):
    "A temporary file that has room for some bytes"
    room = 0
    def write(self, data):
        if self.tell() + len(data) > self.room: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("how", ["gz", "stdin"])
def test_no_room_to_unpack(tmp_path, monkeypatch, how):
    "A full disk for temporary files is no damage of the log: nothing is written, and the exit code is 1"
    data = lines(texts(SIMS))
    log = put(tmp_path/"in", {"a.jsonl.gz": gzip.compress(data)})/"a.jsonl.gz"
    monkeypatch.setattr(FullSpool, "room", 100_000)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *a, **k: FullSpool(tmp_path/"spool", "w+"))
    class Pieces(io.BytesIO):
        "Hands out a record at a time"
        def read1(self, size=-1): return self.readline()
        read = read1
    if how == "stdin":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pieces(data)))
        with pytest.raises(Exception, match="No space left"): pipeline.convert("-", tmp_path/"out", "x", progress=False)
        assert digests(tmp_path/"out") == {}
    else:
        monkeypatch.setattr(gzip.GzipFile, "read1", lambda self, size=-1: self.readline())
        made = convert(log, tmp_path/"out")
        assert made.code == 1 and "No space left" in made.said and not made.rows and not made.rejects


# ---- killed and resumed

TIMES, SMALL_PART = 96, 512 << 10
LEFT = ["x.jsonl", "x.manifest.json", "x.rejects.jsonl", "x.yaml"]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    "A log of some 22 MB with broken records, an older dataset, and the one an undisturbed run makes"
    folder = tmp_path_factory.mktemp("big")
    records = texts(repeated(TIMES))
    for n in range(50, len(records), 400): records[n] = records[n][:2000] + b"}"
    put(folder, {"log.jsonl": lines(records), "few.jsonl": LINES + b"oops\n"})
    assert 20e6 < (folder/"log.jsonl").stat().st_size < 30e6
    pipeline.convert(folder/"few.jsonl", folder/"old", "x", progress=False)
    report = pipeline.convert(folder/"log.jsonl", folder/"right", "x", progress=False)
    assert report.read == len(records) and report.rejected == 5
    return folder


@pytest.fixture(autouse=True)
def no_children():
    "No process of a test outlives it"
    yield
    for child in multiprocessing.active_children(): child.kill()


def run_small_parts(log, out, workers, resume):
    "What the child process does: a conversion in many parts, in a process group of its own"
    os.setsid()
    planning.PART = SMALL_PART
    pipeline.convert(log, out, "x", workers=workers, resume=resume, progress=False)


def spawn(*arguments, run=run_small_parts):
    "Start a child process and wait until it is in its own group"
    child = multiprocessing.get_context("fork").Process(target=run, args=arguments)
    child.start()
    while child.is_alive() and os.getpgid(child.pid) != child.pid: time.sleep(0.0005)
    return child


def wait_for_parts(child, out, wanted):
    "Until so many parts are finished, or the child is; progress and not time, so that a busy machine changes nothing"
    while child.is_alive() and sum(1 for _ in (out/".x.parts").glob("*.done")) < wanted: time.sleep(0.0005)


def slay(child):
    "SIGKILL for a child and its workers; whether they were still at work"
    try: os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError: pass
    child.join()
    return child.exitcode == -signal.SIGKILL


def resume_small_parts(log, out, workers=1):
    "Go on in this process"
    before, planning.PART = planning.PART, SMALL_PART
    try: return pipeline.convert(log, out, "x", workers=workers, resume=True, progress=False)
    finally: planning.PART = before


def assert_no_half_file(out, old, right):
    "Every final name holds the old file or the whole new one; where there was none, none or the whole new one"
    now = digests(out)
    for name in right: assert now.get(name) in (old.get(name), right[name]), f"{name} is half a file"
    if (out/"x.manifest.json").exists(): assert json.loads((out/"x.manifest.json").read_bytes())["read"], "the manifest is half a file"


@pytest.mark.parametrize("workers, kills", [(1, 15), (2, 35)])
def test_killed_at_any_moment(tmp_path, big, workers, kills):
    "SIGKILL at random moments: never half a file; --resume ends with the bytes of an undisturbed run and leaves nothing else"
    old, right = digests(big/"old"), digests(big/"right")
    child = spawn(big/"log.jsonl", tmp_path/"whole", workers, False)
    child.join()
    assert child.exitcode == 0 and digests(tmp_path/"whole") == right
    shutil.rmtree(tmp_path/"whole")
    parts = (big/"log.jsonl").stat().st_size // SMALL_PART
    chance, killed, halfway, littered = random.Random(workers), 0, 0, set()
    for n in range(kills):
        out = tmp_path/f"{n}"
        if n % 2: shutil.copytree(big/"old", out)
        child = spawn(big/"log.jsonl", out, workers, n % 3 == 0)
        wait_for_parts(child, out, parts * n // kills)
        time.sleep(0.02 * chance.random())
        killed += slay(child)
        assert_no_half_file(out, old if n % 2 else {}, right)
        halfway += any(out.glob(".x.parts/*.done"))
        resume_small_parts(big/"log.jsonl", out, 2)
        assert digests(out) == right
        littered |= set(os.listdir(out)) - set(LEFT)
        shutil.rmtree(out)
    assert killed >= kills * 0.6 and halfway >= kills * 0.3, f"{killed} of {kills} killed, {halfway} with finished parts: the moments are badly chosen"
    assert not littered


def test_killed_again_and_again(tmp_path, big):
    "A run that is killed, resumed and killed again gets to the end"
    right, killed = digests(big/"right"), 0
    for _ in range(8):
        child = spawn(big/"log.jsonl", tmp_path, 1, True)
        time.sleep(0.1)
        killed += slay(child)
        assert_no_half_file(tmp_path, {}, right)
    resume_small_parts(big/"log.jsonl", tmp_path)
    assert digests(tmp_path) == right and killed and sorted(os.listdir(tmp_path)) == LEFT


def die(): os.kill(os.getpid(), signal.SIGKILL)


CHANGING = ("mkdir", "fsync", "replace", "unlink", "rmdir")


def run_until(number, log, out, calls):
    "What a child does that is killed at a certain call that changes the file system"
    for name, stand_in in at_call(number, die, CHANGING, calls).items(): setattr(os, name, stand_in)
    pipeline.convert(log, out, "x", progress=False)


@pytest.mark.parametrize("before", [True, False], ids=["with an older dataset", "without"])
def test_killed_at_every_step(two_runs, before):
    "SIGKILL at each step by itself, up to the last one of the cleaning: never half a file; --resume ends with the right bytes and nothing else"
    log, out, old, right = two_runs
    number, wrong = 0, {}
    while True:
        number += 1
        target = out.parent/f"{number}"
        if before: shutil.copytree(out, target)
        child = multiprocessing.get_context("fork").Process(target=run_until, args=(number, log, target, []))
        child.start()
        child.join()
        if child.exitcode == 0: break
        assert child.exitcode == -signal.SIGKILL
        assert_no_half_file(target, old if before else {}, right)
        try: pipeline.convert(log, target, "x", resume=True, progress=False)
        except InputError as e: wrong[number] = str(e)
        else:
            if (made := sorted(os.listdir(target))) != LEFT or digests(target) != right: wrong[number] = made
        shutil.rmtree(target)
    assert number > 40 and not wrong


def running(process):
    "Whether a process is there and no zombie"
    try: return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError: return False


def test_workers_end_with_their_parent(tmp_path, big):
    "If only the parent is killed, its workers do not stay for ever"
    child = spawn(big/"log.jsonl", tmp_path/"out", 2, False)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    if not children.exists(): pytest.skip("this system does not list the children of a process")
    while child.is_alive() and len(children.read_text().split()) < 2: time.sleep(0.001)
    workers = children.read_text().split()
    assert len(workers) == 2
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    until = time.monotonic() + 3
    while (alive := [worker for worker in workers if running(worker)]) and time.monotonic() < until: time.sleep(0.02)
    for worker in alive: os.kill(int(worker), signal.SIGKILL)
    assert not alive


def test_an_error_ends_the_workers(two_runs, disk):
    "A run that fails in a notebook, where its error is kept, leaves no workers behind that go on"
    log, out, old, right = two_runs
    disk.room = 200_000
    with pytest.raises(InputError, match="No space left") as kept: pipeline.convert(log, out, "x", workers=2, progress=False)
    until = time.monotonic() + 3
    while multiprocessing.active_children() and time.monotonic() < until: time.sleep(0.02)
    assert not multiprocessing.active_children() and kept.tb


CHILD = "import sys; import tracekit.plan as p; p.PART = 1 << 19; from tracekit.cli import main; main()"


@pytest.fixture
def command_process():
    "Starts the command in a process group of its own, with small parts; what still runs at the end of a test is killed"
    started = []
    def start(*arguments):
        called = [sys.executable, "-c", CHILD, "convert", *map(str, arguments)]
        started.append(subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=heed_ctrl_c))
        return started[-1]
    yield start
    for process in started:
        try: os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError: pass
        process.communicate()


def wait_for_a_part(process, out):
    "Until the first part is finished"
    while process.poll() is None and not any((out/".x.parts").glob("*.done")): time.sleep(0.001)
    assert process.poll() is None


@pytest.fixture(scope="module")
def uneven(big):
    "A short log and a long one that cannot be cut: of two workers one is soon idle"
    return put(big/"uneven", {"a.jsonl": lines(texts()), "log.jsonl.gz": gzip.compress((big/"log.jsonl").read_bytes(), 1)})


@pytest.mark.parametrize("workers, kind", [(1, "big"), (2, "big"), (2, "uneven")], ids=["one worker", "two workers", "an idle worker"])
def test_ctrl_c(tmp_path, big, uneven, command_process, workers, kind):
    "The old output stays, no traceback, and --resume completes"
    old, out = digests(big/"old"), tmp_path/"out"
    shutil.copytree(big/"old", out)
    arguments = [uneven if kind == "uneven" else big/"log.jsonl", "-o", out, "--name", "x", "--workers", workers]
    process = command_process(*arguments)
    wait_for_a_part(process, out)
    if kind == "uneven": time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said, complaints = (text.decode() for text in process.communicate(timeout=20))
    assert process.returncode not in (0, 3)
    assert digests(out) == old
    resumed = command_process(*arguments, "--resume")
    said_then = resumed.communicate(timeout=60)
    assert said_then[1] == b"" and resumed.returncode == 3 and sorted(os.listdir(out)) == LEFT
    if kind == "big": assert digests(out) == digests(big/"right")
    else: assert said_then[0].decode().splitlines()[-1] == f"read {TIMES * len(SIMS) + 5} rows {TIMES * len(SIMS)} rejected 5"
    assert "Traceback" not in said + complaints


def test_a_worker_dies(tmp_path, big, command_process):
    "What it had in hand is done again by another, and nobody notices"
    out = tmp_path/"out"
    process = command_process(big/"log.jsonl", "-o", out, "--name", "x", "--workers", "2")
    wait_for_a_part(process, out)
    if not Path(f"/proc/{process.pid}/task").exists(): pytest.skip("this system does not list the children of a process")
    workers = [int(pid) for task in Path(f"/proc/{process.pid}/task").iterdir() for pid in (task/"children").read_text().split()]
    os.kill(workers[0], signal.SIGKILL)
    said, complaints = process.communicate(timeout=60)
    assert len(workers) == 2 and process.returncode == 3 and complaints == b"", complaints
    assert digests(out) == digests(big/"right") and sorted(os.listdir(out)) == LEFT


# ---- resumed with something else

def cut_off(log, out):
    "A run that is cut off when all its parts are finished"
    def engine(function, parts):
        for part in parts: function(part)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): pipeline.convert(log, out, "x", map=engine, progress=False)
    assert any(out.glob(".x.parts/*.done")) and not digests(out)


def later(path):
    "Make sure that a file looks changed"
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


def other(n): return texts([SIMS[n] | {"id": FIVE[1]["id"]}])[0]


CHANGES = {
    "lines": ("a.jsonl", {"a.jsonl": LINES}, {"a.jsonl": lines(texts(SIMS[5:8]))}),
    "a byte": ("a.jsonl", {"a.jsonl": LINES}, {"a.jsonl": LINES.replace(b"a", b"b", 3)}),
    "a record more": ("a.jsonl", {"a.jsonl": LINES}, {"a.jsonl": LINES + b"oops\n"}),
    "gz": ("a.jsonl.gz", {"a.jsonl.gz": gzip.compress(LINES)}, {"a.jsonl.gz": gzip.compress(lines(texts(SIMS[5:8])))}),
    "zip": ("a.zip", {"a.zip": packed_zip({"a.jsonl": LINES})}, {"a.zip": packed_zip({"a.jsonl": lines(texts(SIMS[5:8]))})}),
    "a file more": (".", {"a.jsonl": LINES}, {"b.jsonl": lines(texts(SIMS[5:8]))}),
    "a file of an index layout": ("results.json", index_layout(), {f"simulations/{FIVE[1]['id']}.json": other(9)}),
}


@pytest.mark.parametrize("given, before, after", CHANGES.values(), ids=CHANGES)
def test_resume_after_the_input_changed_starts_afresh(tmp_path, given, before, after):
    "What a run finished counts no more if its input is another one"
    folder, out = put(tmp_path/"in", before), tmp_path/"out"
    cut_off(folder/given, out)
    for name in put(folder, after) and after: later(folder/name)
    pipeline.convert(folder/given, out, "x", resume=True, progress=False)
    pipeline.convert(folder/given, tmp_path/"right", "x", progress=False)
    assert digests(out) == digests(tmp_path/"right") and digests(out)
    assert sorted(os.listdir(out)) == sorted(os.listdir(tmp_path/"right"))


def test_resume_uses_what_is_finished(tmp_path, monkeypatch):
    "No part is converted twice"
    monkeypatch.setattr("tracekit.plan.PART", 1 << 15)
    log = put(tmp_path/"in", {"a.jsonl": lines(texts(SIMS))})/"a.jsonl"
    pipeline.convert(log, tmp_path/"right", "x", progress=False)
    cut_off(log, tmp_path/"out")
    finished = sorted((tmp_path/"out").glob(".x.parts/*.done"))
    assert len(finished) > 5
    for mark in finished[4:]: mark.unlink()
    real, again = pipeline.span_lines, []
    monkeypatch.setattr("tracekit.part.span_lines", lambda span, *rest: again.append(span) or real(span, *rest))
    pipeline.convert(log, tmp_path/"out", "x", resume=True, map=map, progress=False)
    assert len(again) == len(finished) - 4 and digests(tmp_path/"out") == digests(tmp_path/"right")


def test_without_resume_a_run_starts_afresh(tmp_path):
    "What an earlier run left is not used unless it is asked for"
    log = put(tmp_path/"in", {"a.jsonl": LINES})/"a.jsonl"
    cut_off(log, tmp_path/"out")
    put(tmp_path/"out", {".x.parts/000000.rows": b"spoilt\n"})
    pipeline.convert(log, tmp_path/"out", "x", progress=False)
    assert len(dataset.Dataset(tmp_path/"out"/"x.jsonl")) == 5 and b"spoilt" not in (tmp_path/"out"/"x.jsonl").read_bytes()


def test_resume_with_strict_still_stops(tmp_path):
    "A reject of a finished part counts"
    log = put(tmp_path/"in", {"a.jsonl": lines(replaced(texts(), 2, b"oops"))})/"a.jsonl"
    cut_off(log, tmp_path/"out")
    made = convert(log, tmp_path/"out", "--resume", "--strict")
    assert made.code == 1 and "line 3" in made.said and not made.rows


def test_resume_of_a_finished_run(tmp_path):
    "Does no harm"
    log = put(tmp_path/"in", {"a.jsonl": lines(replaced(texts(), 2, b"oops"))})/"a.jsonl"
    first = convert(log, tmp_path/"out")
    before = digests(tmp_path/"out")
    again = convert(log, tmp_path/"out", "--resume")
    assert (again.code, again.rows, again.rejects, again.said) == (first.code, first.rows, first.rejects, first.said) and digests(tmp_path/"out") == before
    assert_nothing_lost(again, 5)


def test_resume_of_a_run_that_never_was(tmp_path):
    "Is a run"
    assert_nothing_lost(convert_bytes(tmp_path, "a.json", DOCUMENT, "--resume"), 5)


def test_a_later_run_without_rejects_removes_the_old_rejects(tmp_path):
    "Rejects of an older log are not taken for those of this one"
    log = put(tmp_path/"in", {"a.jsonl": LINES + b"oops\n"})/"a.jsonl"
    assert convert(log, tmp_path/"out").code == 3
    log.write_bytes(LINES)
    assert_nothing_lost(convert(log, tmp_path/"out"), 5)
