"""Reading logs: what is JSON and what is not, where values end, what shape a file has, and where its records are."""
import json
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracekit.source
from tracekit import InputError, Rejected
from tracekit.logs import Log
from tracekit.source import after_value, batches, exact, layout, matching_end, repeated_keys, second_chance, skip_space, strict

SUITE = "data/json_test_suite/test_parsing"
LOST, NOT_TEXT, LONE = "number out of range", "not UTF-8", "\ufffd"
DEEP = json.loads("[" * 500 + "]" * 500)
OPEN = {   # file of the suite -> (what strict makes of it, or why it refuses it; what second_chance makes of it, or why not)
    "number_double_huge_neg_exp": ([0.0], [0.0]),
    "number_huge_exp": (LOST, [None]),
    "number_neg_int_huge_exp": (LOST, [None]),
    "number_pos_double_huge_exp": (LOST, [None]),
    "number_real_neg_overflow": (LOST, [None]),
    "number_real_pos_overflow": (LOST, [None]),
    "number_real_underflow": ([0.0], [0.0]),
    "number_too_big_neg_int": ([-123123123123123123123123123123], [-123123123123123123123123123123]),
    "number_too_big_pos_int": ([10**20], [10**20]),
    "number_very_big_negative_int": ([-237462374673276894279832749832423479823246327846], [-237462374673276894279832749832423479823246327846]),
    "object_key_lone_2nd_surrogate": ("surrogate", {LONE: 0}),
    "string_1st_surrogate_but_2nd_missing": ("truncated", [LONE]),
    "string_1st_valid_surrogate_2nd_invalid": ("surrogate", [LONE + "\u1234"]),
    "string_UTF-16LE_with_BOM": ("invalid character", NOT_TEXT),
    "string_UTF-8_invalid_sequence": (NOT_TEXT, NOT_TEXT),
    "string_UTF8_surrogate_U+D800": (NOT_TEXT, NOT_TEXT),
    "string_incomplete_surrogate_and_escape_valid": ("truncated", [LONE + "\n"]),
    "string_incomplete_surrogate_pair": ("surrogate", [LONE + "a"]),
    "string_incomplete_surrogates_escape_valid": ("surrogate", [LONE * 2 + "\n"]),
    "string_invalid_lonely_surrogate": ("truncated", [LONE]),
    "string_invalid_surrogate": ("truncated", [LONE + "abc"]),
    "string_invalid_utf-8": (NOT_TEXT, NOT_TEXT),
    "string_inverted_surrogates_U+1D11E": ("surrogate", [LONE * 2]),
    "string_iso_latin_1": (NOT_TEXT, NOT_TEXT),
    "string_lone_second_surrogate": ("surrogate", [LONE]),
    "string_lone_utf8_continuation_byte": (NOT_TEXT, NOT_TEXT),
    "string_not_in_unicode_range": (NOT_TEXT, NOT_TEXT),
    "string_overlong_sequence_2_bytes": (NOT_TEXT, NOT_TEXT),
    "string_overlong_sequence_6_bytes": (NOT_TEXT, NOT_TEXT),
    "string_overlong_sequence_6_bytes_null": (NOT_TEXT, NOT_TEXT),
    "string_truncated-utf-8": (NOT_TEXT, NOT_TEXT),
    "string_utf16BE_no_BOM": ("invalid character", NOT_TEXT),
    "string_utf16LE_no_BOM": ("invalid character", NOT_TEXT),
    "structure_500_nested_arrays": (DEEP, DEEP if sys.version_info >= (3, 12) else "nested too deeply"),   # today's Python needs less of its stack for each level
    "structure_UTF-8_BOM_empty_object": ("invalid character", "BOM"),
}


def outcome(read, text):
    "What a reader makes of a text, or why it refuses it"
    try: return read(text)
    except Rejected as e: return e


def test_the_decided_files_of_the_suite(shared):
    "strict accepts every y_ file and refuses every n_ file with Rejected; the second reader accepts no n_ file but for NaN and infinities, which it names"
    files = [f for f in sorted((shared/SUITE).iterdir()) if f.name[0] in "yn"]
    assert len(files) == 283
    for f in files:
        found = outcome(strict, f.read_bytes())
        assert isinstance(found, Rejected) == (f.name[0] == "n"), f.name
        if f.name[0] == "n" and not isinstance(mended := outcome(second_chance, f.read_bytes()), Rejected):
            assert mended[1] and f.stem in ("n_number_NaN", "n_number_infinity", "n_number_minus_infinity")
        if f.name[0] == "y": assert second_chance(f.read_bytes()) == (found, []), f.name


@pytest.mark.parametrize("name", OPEN)
def test_the_open_files_of_the_suite(shared, name):
    "What strict and the second reader do where the standard leaves it open"
    text = (shared/SUITE/f"i_{name}.json").read_bytes()
    for read, expected in zip((strict, lambda text: second_chance(text)[0]), OPEN[name]):
        found = outcome(read, text)
        if isinstance(expected, str): assert isinstance(found, Rejected) and expected in found.cause
        else: assert found == expected


def test_the_table_of_open_files_is_complete(shared):
    "Thirty-five of them"
    assert {f.stem for f in (shared/SUITE).glob("i_*")} == {f"i_{name}" for name in OPEN} and len(OPEN) == 35


@pytest.mark.parametrize("text, value, notes", [
    (b'{"a": NaN, "b": [Infinity, -Infinity]}', {"a": None, "b": [None, None]}, ["$.a: nan -> null", "$.b[0]: inf -> null", "$.b[1]: -inf -> null"]),
    (rb'{"a": "\ud83d x"}', {"a": "\ufffd x"}, ["$.a: lone surrogate -> U+FFFD in \\ud83d x"]), (rb'["\ud83d\ude00"]', ["😀"], []),
    (b"[1e5]", [1e5], []), (b"[123456789012345678901234567890]", [123456789012345678901234567890], []),
    ("\"\ufffd\ufffd\ufffd \\ud83d\"".encode(), "\ufffd\ufffd\ufffd \ufffd", None)])
def test_a_second_chance_mends_and_says_so(text, value, notes):
    "What was changed, and where; nothing else is"
    found, said = second_chance(text)
    assert found == value and (notes is None or said == notes)


@pytest.mark.parametrize("text", [
    b"", b" ", b"{", b"[1", b"'a'", b"{'a': 1}", b"[1,]", b"nul", b"\xff", b"[" * 100_000, b"1 2", b"9" * 5000, b'"\x01"', b"undefined", b"// x\n1"])
def test_what_is_no_json_is_refused(text):
    "By both readers, with the stage, a path and a cause that reads well"
    for read in (strict, second_chance):
        if text == b"9" * 5000 and read is strict: continue
        with pytest.raises(Rejected) as caught: read(text)
        assert caught.value.stage == "decode" and caught.value.path == "$" and caught.value.cause and not caught.value.cause.startswith("jSON")


def test_a_wrong_type_is_named_by_its_path():
    "Not as a decoding error but as one of the fields"
    with pytest.raises(Rejected) as caught: strict(b'{"a": [1, "x"]}', msgspec.json.Decoder(dict[str, list[int]]))
    assert (caught.value.stage, caught.value.path) == ("fields", "$[...][1]") and "int" in caught.value.cause


def test_keys_written_twice():
    "Are found wherever they are, even below each other"
    assert repeated_keys(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}') == ["c", "a"] and repeated_keys(b'[{"a": 1}, {"a": 2}]') == [] and repeated_keys(b"{") == []


ODD_TEXTS = ['"', "\\", "}", "]", '}, {"id": "x", "task_id": "y"', "\\\"", "\u2028", "é", "]}"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(ODD_TEXTS)
DATA = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8)
SPACE = st.text(" \t\r\n", max_size=4)
SEPARATORS = [(",", ":"), (", ", ": "), (" , ", " : ")]
STYLE = st.fixed_dictionaries({"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, None, 0, 2]), "separators": st.sampled_from(SEPARATORS)})


@settings(max_examples=500)
@given(DATA, STYLE, SPACE, SPACE, st.sampled_from(["", ",", "]", "}", ', "more"', ',{"id": 1}', "]}", "} x", ",,"]))
def test_after_value_finds_the_end_of_any_value(value, style, before, after, behind):
    "The position behind the value and its white space is the one that the standard library's reader finds; this holds msgspec to its wording"
    text = f"[{before}{json.dumps(value, **style)}{after}{behind}"
    _, end = json.JSONDecoder().raw_decode(text, 1 + len(before))
    while end < len(text) and text[end] in " \t\r\n": end += 1
    data = memoryview(text.encode())
    assert after_value(data, 1) == len(text[:end].encode())


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": ', b"[1 2]", b"nul", b'"x', b'{"a" 1}', b"NaN", b'"\\ud83d"', b"]"])
def test_after_value_complains_about_broken_values(text):
    "With msgspec's own error"
    with pytest.raises(msgspec.DecodeError): after_value(memoryview(text), 0)


@settings(max_examples=300)
@given(st.lists(DATA, max_size=3) | st.dictionaries(TEXTS, DATA, max_size=3), STYLE, SPACE, TEXTS)
def test_matching_end_finds_the_end_of_any_container(value, style, before, behind):
    "By its brackets and strings alone"
    text = json.dumps(value, **style).encode()
    assert matching_end(before.encode() + text + behind.encode(), len(before)) == len(before) + len(text)


@pytest.mark.parametrize("text, end", [
    (b'{"x": NaN, "s": "}"} , {}', 20), (b'{"x": "unclosed}', None), (b"[[]", None), (b"[[], {}]]", 8), (rb'{"a\"}": "\\"} x', 14), (b'{"a": \xff}', None),
    (b"{]", None), (b"", None), (b'"', None), (b"12", None)])
def test_matching_end_of_what_is_no_json(text, end):
    "NaN does not matter; an open string or bracket, one of the wrong kind, or words that are no JSON do"
    assert matching_end(text, 0) == end


RECORD = b'{"id": 1, "x": 2}'


@pytest.mark.parametrize("text, shape, start, head, under", [
    (b"[]", "array", 1, [], None), (b" [ {} ] ", "array", 3, [], None), (b'{"simulations": []}', "array", 17, [], "simulations"),
    (b'{"info": {}, "simulations": [{}]}', "array", 29, ["info"], "simulations"),
    (b'{"simulations": [{}], "tasks": [1], "info": 2}', "array", 17, ["tasks", "info"], "simulations"),
    (b'\xef\xbb\xbf{"simulations": []}', "array", 20, [], "simulations"), (b'{"info": 1, "simulations": null}', "object", 0, [], None),
    (b'{"simulations": {}}', "object", 0, [], None), (RECORD, "object", 0, [], None), (RECORD + b"\n", "object", 0, [], None),
    (b"\n\n" + RECORD, "object", 2, [], None), (b"{}", "object", 0, [], None), (b'{\n "id": 1\n}\n', "object", 0, [], None),
    (RECORD + b"\n" + RECORD, "lines", 0, [], None), (RECORD + b"\r\n" + RECORD + b"\r\n", "lines", 0, [], None),
    (b"\n" + RECORD + b"\n\n" + RECORD, "lines", 1, [], None), (b'{"id": \n' + RECORD, "lines", 0, [], None),
    (b"{\n" + RECORD[1:] + b"\n{\n" + RECORD[1:], "values", 0, [], None), (RECORD + RECORD, "values", 0, [], None),
    (RECORD + b" " + RECORD + b"\n", "values", 0, [], None), (b"x\n" + RECORD, "lines", 0, [], None),
    (b'{"x": {"simulations": [1]}}', "object", 0, [], None)])
def test_the_layout_of_a_log(text, shape, start, head, under):
    "Its shape, where its first record starts, and which members stand beside the records"
    found = layout(memoryview(text), "log", ("simulations",), ("info", "tasks"))
    assert (found.shape, found.start, list(found.head), found.under) == (shape, start, head, under)
    for key, (a, b) in found.head.items(): assert json.loads(text)[key] == json.loads(text[a:b])


def test_a_broken_first_line_of_json_lines():
    "Does not make the others worthless, if the file calls itself so"
    assert layout(memoryview(b"oops\nmore\n"), "a.jsonl").shape == layout(memoryview(b"{oops\nmore\n"), "a.NDJSON.gz").shape == "lines"


@pytest.mark.parametrize("text, told", [
    (b"   ", "white space"), (b"Dear diary", "'Dear diary'"), (b"id,task_id\n1,2\n", "not JSON"), (b'{"a": 1', "middle of a value"), (b'{"a": }', "not valid JSON"),
    (b"<html>", "<html>"), (b"7", "not JSON"), (b'{"a": ' + b"[" * 100_000, "nested too deeply"), (b"\xff\xff", "not JSON"), (b'{"a": }\n\xff\xfe', "not valid JSON"),
    (b'x\n{"a": "\xff"}', "not JSON")])
def test_what_is_no_log_is_refused(text, told):
    "With the file's name, what it begins with, and why"
    with pytest.raises(InputError) as caught: layout(memoryview(text), "diary.txt")
    assert str(caught.value).startswith("diary.txt: ") and told in str(caught.value)


INNER = st.lists(st.fixed_dictionaries({"id": TEXTS, "task_id": st.integers(0, 9) | TEXTS}), max_size=3)
RECORDS = st.one_of(st.fixed_dictionaries({"id": TEXTS, "task_id": TEXTS | st.integers(), "calls": INNER, "more": DATA}),
                    st.fixed_dictionaries({"id": TEXTS, "task_id": TEXTS}),
                    st.dictionaries(TEXTS, DATA, max_size=2))
LISTS = {"a list": ("[", "]"), "under a member": ('{"info": {"a": 1}, "simulations":[', "]}"), "before the head": ('{"simulations": [', '], "info": [1]}')}


def put_together(frame, records, space):
    "A log of records (texts) in a frame"
    if frame == "lines": return ("\n".join(r.replace("\n", " ") for r in records) + "\n").encode()
    if frame == "values": return f"{space}\n".join(records).encode()
    opening, closing = LISTS[frame]
    return (opening + space + f"{space},{space}".join(records) + space + closing).encode()


def read_all(data, form, how):
    "All records of a log: by extents, or in batches"
    if how == "exact":
        extents, following = exact(data, form, form.start, len(data))
        assert all(a < b for a, b in extents) and all(b <= c for (_, b), (c, _) in zip(extents, extents[1:]))
        return [strict(data[a:b]) for a, b in extents], following
    found, following = [], form.start
    for batch in batches(data, form, form.start, len(data), msgspec.json.Decoder(list)):
        assert batch.start == following and (batch.stop > batch.start or batch.stop == len(data))
        found += batch.records if batch.records is not None else [strict(data[a:b]) for a, b in batch.extents]
        following = batch.stop
    return found, following


class _Window:
    "WINDOW at another size for a while"
    def __init__(self, size): self.size = size
    def __enter__(self): self.before, tracekit.source.WINDOW = tracekit.source.WINDOW, self.size
    def __exit__(self, *exc): tracekit.source.WINDOW = self.before


@settings(max_examples=400)
@given(st.sampled_from(["a list", "under a member", "before the head", "lines", "values"]), st.lists(RECORDS, min_size=2, max_size=8), STYLE, SPACE, st.integers(1, 200))
def test_fast_and_careful_reading_agree(frame, records, style, space, window):
    "However the records look, whatever stands inside them, and wherever a window ends"
    if frame == "values": records, style = [{"id": "x", **r} for r in records], {**style, "indent": 2}
    data = memoryview(put_together(frame, [json.dumps(r, **style) for r in records], space))
    form = layout(data, "log", ("simulations",), ("info",))
    assert form.shape == (frame if frame in ("lines", "values") else "array")
    careful, _ = read_all(data, form, "exact")
    assert careful == records
    with _Window(window): assert read_all(data, form, "batches")[0] == careful


@settings(max_examples=200)
@given(st.lists(RECORDS, min_size=3, max_size=8), STYLE, SPACE, st.data())
def test_a_log_cut_into_spans_loses_nothing(records, style, space, draw):
    "Read from each record's start to the next chosen one's, the pieces hold each record once"
    data = memoryview(put_together("a list", [json.dumps(r, **style) for r in records], space))
    form = layout(data)
    starts = [a for a, _ in exact(data, form, form.start, len(data))[0]]
    chosen = sorted({form.start, *draw.draw(st.lists(st.sampled_from(starts), max_size=3))})
    found = []
    for start, stop in zip(chosen, [*chosen[1:], len(data)]):
        with _Window(64):
            for batch in batches(data, form, start, stop, msgspec.json.Decoder(list)):
                found += batch.records if batch.records is not None else [strict(data[a:b]) for a, b in batch.extents]
    assert found == records


BROKEN = {
    "NaN": '{"id": "b", "task_id": NaN}',
    "cut off in a member": '{"id": "b", "task_id": "t", "x": [{"y": 1, ',
    "cut off in a text": '{"id": "b", "task_id": "t", "x": "some wor',
    "cut off after a member": '{"id": "b", "task_id": "t", "x": 1',
    "cut off at once": "{",
    "cut off in the first key": '{"i',
    "a quote too many": '{"id": "b", "task_id": "t", "x": ""y", "z": [1]}',
    "a quote too few": '{"id": "b", "task_id": "t, "x": [1]}',
    "a bracket too many": '{"id": "b", "task_id": "t", "x": [1]], "y": {"z": 1}}',
    "a brace too many": '{"id": "b", "task_id": "t", "x": [{"y": 1}}, {"y": 2}], "z": 3}',
    "the end of a list too early": '{"id": "b"}], "task_id": "t", "x": [1]}',
    "the end of a document too early": '{"id": "b"}]}, "task_id": "t", "x": [1]}',
    "a bracket of the wrong kind": '{"id": "b", "task_id": "t", "x": [1}',
    "a comma too many": '{"id": "b",, "task_id": "t"}',
    "an escape at the end": '{"id": "b", "task_id": "t\\',
    "no text": '{"id": "b", "task_id": "\udcff"}',
    "two in one": '{"id": "b", "task_id": "t"} {"id": "b", "task_id": "t"}',
    "look-alikes inside": '{"id": "b", "task_id": "t", "x": [{"id": "b", "task_id": "u"}, {"id": "b", "task_id": "v"}], "y": NaN}',
    "words": "oops",
    "nothing": "",
    "deep": "[" * 3000,
}
FRAMES = {
    "a list": ("[", "]"),
    "a document": ('{"info": 1, "simulations": [', "]}"),
    "a document without head": ('{"simulations": [', "]}"),
    "a document with its head behind": ('{"simulations": [', '], "info": {"a": [1]}}'),
    "an indented document": ('{\n "info": 1,\n "simulations": [\n', "\n]}\n"),
}


def readable(data, form):
    "The ids of the records that can be read"
    found = [outcome(strict, data[a:b]) for a, b in exact(data, form, form.start, len(data))[0]]
    return [r.get("id") for r in found if isinstance(r, dict)]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_costs_only_itself(name, frame):
    "Its neighbours on both sides are found, fast or careful, and none is found twice"
    sound = [json.dumps({"id": id, "task_id": "t", "x": [{"y": "z"}]}) for id in "acde"]
    texts = [sound[0], BROKEN[name], *sound[1:3], BROKEN[name], sound[3]]
    data = memoryview((FRAMES[frame][0] + (",\n  " if "indented" in frame else ", ").join(texts) + FRAMES[frame][1]).encode("utf-8", "surrogateescape"))
    form = layout(data, "log.json", ("simulations",), ("info",))
    assert [id for id in readable(data, form) if id in list("acde")] == ["a", "c", "d", "e"]
    with _Window(50):
        found = [r for batch in batches(data, form, form.start, len(data), msgspec.json.Decoder(list))
                 for r in (batch.records if batch.records is not None else [outcome(strict, data[a:b]) for a, b in batch.extents])]
    assert [r["id"] for r in found if isinstance(r, dict) and r.get("id") in list("acde")] == ["a", "c", "d", "e"]


@pytest.mark.parametrize("space, end", [(b"", 0), (b" \t\r\n", 4), (b"\x0b ", 0), (b"\xc2\xa0", 0), (b"  x", 2)])
def test_white_space_is_json_white_space(space, end):
    "Four characters and no others"
    assert skip_space(space, 0) == end


@pytest.mark.parametrize("broken", ['{"a": "x\ny"}', '{"a": "x\ny"},{"b": 1}', '{"a":\n"x"}', '{"a": 1}{"a": 2}', '{"a": 1},{"a": 2}', '{"a": "x\n\ny"}', "[\n]"])
def test_a_line_is_a_record(broken):
    "Fast reading never takes parts of two lines for one record, nor one line for two: it leaves them to the careful way"
    data = memoryview(f'{{"a": "z"}}\n{broken}\n{{"a": "z"}}\n'.encode())
    form = layout(data)
    assert form.shape == "lines"
    assert [batch.records for batch in batches(data, form, 0, len(data), msgspec.json.Decoder(list))] == [None]


@pytest.mark.parametrize("second", [b'[{"role" "user"}]', b"[\xff]", b"{", b"oops"])
@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "zip://log.jsonl::logs.zip"])
def test_a_conversation_on_each_line(name, second):
    "Where the name of the file says lines, a broken second line does not make one record of all; a list of records is no line"
    talk = b'[{"role": "user", "content": "hi"}]\n'
    assert layout(memoryview(talk + second + b"\n" + talk), name).shape == "lines"
    assert layout(memoryview(b'[{"id": 1}, {"id": 2}]\n' + second + b"\n"), name).shape == "array"
    assert layout(memoryview(talk + b"\n"), name).shape == "object"


def test_brackets_that_never_close_are_searched_once(tmp_path):
    "What is known of a log is right, and so the answer for each bracket is that of a search of its own"
    data = b"[" + b", ".join([b'{"a": [NaN]}', b'{"a": [[1, ', b'{"b": NaN}', b'{"c": [}', b'{"d": "x]"}', b'{"e": [[2}']) + b"]"
    (tmp_path/"log.json").write_bytes(data)
    with Log(tmp_path/"log.json") as log:
        places = [n for n, mark in enumerate(data) if mark in b"{["]
        assert [matching_end(log.data, at) for at in places] == [matching_end(memoryview(data), at) for at in places]
