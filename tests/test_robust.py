"""Logs as they come: torn, interleaved, out of order, with strange trees and huge values. Each gives rows and rejects with a reason, and what was sound is in them."""
import base64
import json
from collections import Counter

import pytest

from tracekit.dataset import Dataset
from tracekit.pipeline import convert

DOT = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 3000).decode()


def moment(n): return f"2026-03-01T{10 + n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z"


class Log:
    "A log of one format, made turn by turn: user, call, result, answer; `tree` says which line a line hangs from"
    def __init__(self, id="s1"): self.id, self.lines = id, []
    def parent(self, n, tree): return tree.get(n, n - 1) if tree else n - 1
    def text(self): return "".join(json.dumps(line) + "\n" for line in self.lines)


class Claude(Log):
    name, file, linked, typed = "claude_code", "s1.jsonl", True, {"type": "brand-new", "uuid": "zz", "sessionId": "s1", "secret": "kept words"}
    def add(self, type, content, at, parent):
        n = len(self.lines)
        self.lines.append({"type": type, "uuid": f"u{n}", "parentUuid": None if parent is None or parent < 0 else f"u{parent}", "sessionId": self.id, "timestamp": at, "message": {"role": type, "id": f"m{n}", "content": content}})
    def turn(self, n, says, gives, at, tree=None):
        def up(k): return self.parent(4 * n + k, tree)
        self.add("user", says, at, up(0))
        self.add("assistant", [{"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"n": n}}], at, up(1))
        self.add("user", [{"type": "tool_result", "tool_use_id": f"c{n}", "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": gives}}] if gives == DOT else gives}], at, up(2))
        self.add("assistant", [{"type": "text", "text": f"done {n}"}], at, up(3))


class Codex(Log):
    name, file, linked, typed = "codex", "rollout-s1.jsonl", False, {"type": "brand_new", "timestamp": moment(0), "payload": {"type": "x", "secret": "kept words"}}
    def add(self, type, payload, at): self.lines.append({"type": type, "timestamp": at, "payload": payload})
    def turn(self, n, says, gives, at, tree=None):
        if not self.lines: self.add("session_meta", {"id": self.id, "cwd": "/shop", "timestamp": at}, at)
        self.add("response_item", {"type": "message", "role": "user", "content": [{"type": "input_text", "text": says}]}, at)
        self.add("response_item", {"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": json.dumps({"n": n})}, at)
        self.add("response_item", {"type": "function_call_output", "call_id": f"c{n}", "output": [{"type": "input_image", "image_url": f"data:image/png;base64,{gives}"}] if gives == DOT else gives}, at)
        self.add("response_item", {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"done {n}"}]}, at)


class Hermes(Log):
    name, file, linked, typed = "hermes", "20260301_s1.jsonl", False, {"role": "brand_new", "content": "kept words"}
    def turn(self, n, says, gives, at, tree=None):
        if not self.lines: self.lines.append({"role": "session_meta", "platform": "cli", "timestamp": at})
        image = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{gives}"}}] if gives == DOT else gives
        self.lines += [{"role": "user", "content": says, "timestamp": at}, {"role": "assistant", "content": "", "tool_calls": [{"id": f"c{n}", "function": {"name": "look", "arguments": json.dumps({"n": n})}}], "timestamp": at},
                       {"role": "tool", "tool_call_id": f"c{n}", "content": image, "timestamp": at}, {"role": "assistant", "content": f"done {n}", "timestamp": at}]


class Pi(Log):
    name, file, linked, typed = "pi", "s1.jsonl", True, {"type": "brand_new", "id": "zz", "parentId": "e3", "timestamp": moment(0), "secret": "kept words"}
    def add(self, message, at, parent):
        self.lines.append({"type": "message", "id": f"e{len(self.lines) - 1}", "parentId": None if parent is None or parent < 0 else f"e{parent}", "timestamp": at, "message": message})
    def turn(self, n, says, gives, at, tree=None):
        if not self.lines: self.lines.append({"type": "session", "version": 3, "id": self.id, "cwd": "/shop", "timestamp": at})
        def up(k): return self.parent(4 * n + k, tree)
        given = [{"type": "image", "data": gives, "mimeType": "image/png"}] if gives == DOT else [{"type": "text", "text": gives}]
        self.add({"role": "user", "content": says}, at, up(0))
        self.add({"role": "assistant", "content": [{"type": "toolCall", "id": f"c{n}", "name": "look", "arguments": {"n": n}}]}, at, up(1))
        self.add({"role": "toolResult", "toolCallId": f"c{n}", "toolName": "look", "content": given}, at, up(2))
        self.add({"role": "assistant", "content": [{"type": "text", "text": f"done {n}"}]}, at, up(3))


class Chat(Log):
    name, file, linked, typed = "chat", "log.jsonl", False, {"messages": [{"role": "brand_new", "content": "kept words"}]}
    def turn(self, n, says, gives, at, tree=None):
        image = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{gives}"}}] if gives == DOT else gives
        if not self.lines: self.lines.append({"messages": [], "id": self.id, "model": "m", "created": at})
        self.lines[0]["messages"] += [{"role": "user", "content": says}, {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{n}", "type": "function", "function": {"name": "look", "arguments": json.dumps({"n": n})}}]},
                                      {"role": "tool", "tool_call_id": f"c{n}", "content": image}, {"role": "assistant", "content": f"done {n}"}]


class Atif(Log):
    name, file, linked, typed = "atif", "trajectories.jsonl", False, {"schema_version": "ATIF-v9", "session_id": "x", "agent": {"name": "a"}, "steps": [{"step_id": 1, "source": "brand_new", "message": "kept words"}]}
    def turn(self, n, says, gives, at, tree=None):
        content = [{"type": "image", "source": {"media_type": "image/png", "path": f"data:image/png;base64,{gives}"}}] if gives == DOT else gives
        if not self.lines: self.lines.append({"schema_version": "ATIF-v1.7", "session_id": self.id, "agent": {"name": "a", "version": "1"}, "steps": []})
        steps = self.lines[0]["steps"]
        steps += [{"step_id": len(steps) + 1, "source": "user", "message": says, "timestamp": at}, {"step_id": len(steps) + 2, "source": "agent", "message": "", "timestamp": at, "tool_calls": [
            {"tool_call_id": f"c{n}", "function_name": "look", "arguments": {"n": n}}], "observation": {"results": [{"source_call_id": f"c{n}", "content": content}]}}, {"step_id": len(steps) + 3, "source": "agent", "message": f"done {n}", "timestamp": at}]


class Spans(Log):
    "A span of a model call with all that went before it, and a span of a tool; `tree` says which span a span is in"
    file, linked = "spans.jsonl", True
    def __init__(self, id="s1"):
        super().__init__(id)
        self.said = []
    def span(self, n, at, attributes, parent, id=None):
        return {"traceId": f"t-{self.id}", "spanId": id or f"p{n}", "parentSpanId": "" if parent is None or parent < 0 else f"p{parent}", "name": "span", "startTimeUnixNano": str(1772359200_000000000 + n), "endTimeUnixNano": str(1772359200_000000000 + n + 1),
                "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]}
    def turn(self, n, says, gives, at, tree=None):
        def up(k): return self.parent(2 * n + k, tree)
        self.said.append({"role": "user", "parts": [{"type": "text", "content": says}]})
        call = {"role": "assistant", "parts": [{"type": "tool_call", "id": f"c{n}", "name": "look", "arguments": {"n": n}}]}
        self.said.append(call)
        part = {"type": "blob", "mime_type": "image/png", "data": gives} if gives == DOT else gives
        self.said.append({"role": "tool", "parts": [{"type": "tool_call_response", "id": f"c{n}", "response": [part] if gives == DOT else part}]})
        answer = {"role": "assistant", "parts": [{"type": "text", "content": f"done {n}"}], "finish_reason": "stop"}
        self.lines.append(self.span(2 * n, at, self.model(self.said, answer), up(0)))
        self.lines.append(self.span(2 * n + 1, at, self.tool(n, gives), up(1)))
        self.said = [*self.said, answer]


class GenAI(Spans):
    name, typed = "otel_genai", {"traceId": "t-s1", "spanId": "zz", "parentSpanId": "p0", "name": "brand new", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "kept words"}}]}
    def model(self, said, answer): return {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(said), "gen_ai.output.messages": json.dumps([answer])}
    def tool(self, n, gives): return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look", "gen_ai.tool.call.id": f"c{n}", "gen_ai.tool.call.arguments": json.dumps({"n": n}), "gen_ai.tool.call.result": gives}


class OpenInference(Spans):
    name, typed = "openinference", {"traceId": "t-s1", "spanId": "zz", "parentSpanId": "p0", "name": "brand new", "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": [{"key": "openinference.span.kind", "value": {"stringValue": "kept words"}}]}
    def model(self, said, answer):
        told = {"openinference.span.kind": "LLM", "llm.model_name": "m"}
        for side, messages in (("input", said), ("output", [answer])):
            for k, m in enumerate(messages):
                at, part = f"llm.{side}_messages.{k}.message", m["parts"][0]
                told[f"{at}.role"] = m["role"]
                if part["type"] == "text": told[f"{at}.content"] = part["content"]
                elif part["type"] == "tool_call": told |= {f"{at}.tool_calls.0.tool_call.id": part["id"], f"{at}.tool_calls.0.tool_call.function.name": "look", f"{at}.tool_calls.0.tool_call.function.arguments": json.dumps(part["arguments"])}
                else:
                    told[f"{at}.tool_call_id"] = part["id"]
                    if isinstance(part["response"], str): told[f"{at}.content"] = part["response"]
                    else: told |= {f"{at}.contents.0.message_content.type": "image", f"{at}.contents.0.message_content.image.image.url": f"data:image/png;base64,{DOT}"}
        return told
    def tool(self, n, gives): return {"openinference.span.kind": "TOOL", "tool.name": "look", "input.value": json.dumps({"n": n}), "output.value": gives}


MAKERS = {made.name: made for made in (Claude, Codex, Hermes, Pi, Chat, Atif, GenAI, OpenInference)}
def of(which): return pytest.mark.parametrize("maker", [m for m in MAKERS.values() if which(m)], ids=lambda m: m.name)


each, linked = of(lambda m: True), of(lambda m: m.linked)
naming = of(lambda m: m not in (Codex, Pi, Hermes))   # a file of these agents is one session: its lines do not name theirs


def made(maker, turns=3, id="s1", gives=None, at=moment, tree=None):
    log = maker(id)
    for n in range(turns): log.turn(n, f"words {n} of {id}", gives(n) if gives else f"result {n} of {id}", at(n), tree)
    return log


def read(text, maker, folder, name=None):
    "What comes of a log, told nothing of its format: the report, the rows as plain data, the rejects"
    folder.mkdir(exist_ok=True)
    path = folder/(name or maker.file)
    if isinstance(text, bytes): path.write_bytes(text)
    else: path.write_text(text)
    report = convert(path, folder/"out", name="x", format=maker.name, progress=False)
    rows = list(Dataset(folder/"out/x.jsonl").plain()) if report.rows else []
    assert (report.rows, report.read) == (len(rows), report.rows + report.rejected) and all(r["cause"] and r["stage"] for r in report.rejects)
    return report, rows


def words(rows): return json.dumps(rows, ensure_ascii=False)


def complete(rows, turns=3, id="s1"):
    "Whether everything that was said, called and answered is there: calls with their results, none twice"
    told = words([r["trace"] for r in rows])
    items = [i for r in rows for i in r["trace"]["items"]]
    kinds = Counter(i["type"] for i in items)
    assert kinds["function_call"] == kinds["function_call_output"] == turns, kinds
    return all(text in told for n in range(turns) for text in (f"words {n} of {id}", f"done {n}", f"result {n} of {id}"))


@each
def test_the_logs_of_these_tests_are_sound(maker, tmp_path):
    report, rows = read(made(maker).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and complete(rows)
    assert convert(tmp_path/maker.file, tmp_path/"auto", progress=False).formats == {maker.name: 1}, "known without being told"


@each
def test_a_log_that_is_still_being_written(maker, tmp_path):
    "Cut anywhere in its last line, or in the middle of a letter: what stands before is kept, and the rest is a reject"
    whole = (made(maker, 2) if maker not in (Chat, Atif) else made(maker, 2, "s0")).text()
    if maker in (Chat, Atif): whole += made(maker, 2).text()
    last = whole[:-1].rindex("\n") + 1
    for cut in (*range(last + 1, len(whole) - 2, max(1, (len(whole) - last) // 9)), len(whole) - 1):
        report, rows = read(whole[:cut], maker, tmp_path/"torn")
        assert report.rejected == (cut < len(whole) - 1) and rows, cut
        if report.rejected: assert report.rejects[0]["text"] == whole[last:cut].rstrip()
        assert ("words 1 of s0" if maker in (Chat, Atif) else "words 1 of s1" if maker not in (GenAI, OpenInference) else "words") in words(rows)
    report, rows = read((whole[:last] + '{"text": "caf\u00e9').encode()[:-1], maker, tmp_path/"letter")
    assert report.rejected == 1 and rows


@each
def test_an_empty_line_and_a_broken_one_in_the_middle(maker, tmp_path):
    "Cost only themselves"
    lines = (made(maker, 3) if maker not in (Chat, Atif) else made(maker, 3)).text().splitlines()
    report, rows = read("\n".join([*lines[:1], "", '{"a": ', "   ", *lines[1:], "[1]"]), maker, tmp_path)
    assert report.rejected == 2 and complete(rows)


@naming
def test_interleaved_sessions(maker, tmp_path):
    "Lines of two logs in turn: nothing is lost, and no call is answered by the other's result"
    one, two = made(maker, id="s1").lines, made(maker, id="s2").lines
    report, rows = read("".join(json.dumps(x) + "\n" for pair in zip(one, two) for x in pair), maker, tmp_path)
    assert report.rejected == 0 and len(rows) == 2
    for row in rows:
        told = words(row["trace"]["items"])
        assert ("of s1" in told) != ("of s2" in told)
        outputs = {i["call_id"]: i["output"] for i in row["trace"]["items"] if i["type"] == "function_call_output"}
        assert all(f"result {json.loads(i['arguments'])['n']} of" in outputs[i["call_id"]] for i in row["trace"]["items"] if i["type"] == "function_call")


@pytest.mark.parametrize("clock", ["backwards", "one moment", "far apart", "none", "nonsense"])
@each
def test_clock_jumps(maker, clock, tmp_path):
    "The order is that of the log, whatever its clock says, and the lengths that are told make sense"
    at = {"backwards": lambda n: moment(7200 - 1000 * n), "one moment": lambda n: moment(0), "far apart": lambda n: ("1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z", "2026-03-01T10:00:00+14:00")[n],
          "none": lambda n: None, "nonsense": lambda n: ("yesterday", "2026-99-99T99:99:99Z", [7])[n]}[clock]
    report, rows = read(made(maker, at=at).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and complete(rows)
    said = [p["text"] for i in rows[0]["trace"]["items"] if i["type"] == "message" and i["role"] == "user" for p in i["content"]]
    assert said == [f"words {n} of s1" for n in range(3)]
    assert (rows[0]["trace"]["metadata"]["total_time"] or 0) >= 0


TREES = {"a missing parent": {4: 999}, "all parents missing": {n: 999 for n in range(12)}, "its own parent": {5: 5}, "a ring": {0: 3}, "a ring of all": {0: 11}, "two roots": {6: None}, "a branch": {8: 3}, "a branch that goes on": {8: 3, 4: 1}}


@pytest.mark.parametrize("tree", TREES)
@linked
def test_trees_of_any_shape(maker, tree, tmp_path):
    "Parents that are missing, or in a ring, cost nothing: all that was said is there, in the conversation or beside it"
    report, rows = read(made(maker, tree=TREES[tree]).text(), maker, tmp_path)
    assert report.rejected == 0 and rows
    told = words([r["trace"] for r in rows])
    assert all(told.count(f"words {n} of s1") >= 1 and f"done {n}" in told and f"result {n} of s1" in told for n in range(3))


@each
def test_an_output_of_50_megabytes(maker, tmp_path):
    "Is kept whole"
    huge = "0123456789abcdef" * (50 * 65_536)
    report, rows = read(made(maker, 1, gives=lambda n: huge).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0)
    (output,) = (i["output"] for i in rows[0]["trace"]["items"] if i["type"] == "function_call_output")
    assert output == huge or output[0]["text"] == huge


@each
def test_an_image_in_base64(maker, tmp_path):
    "Comes through byte for byte, as an image where the format says that it is one"
    report, rows = read(made(maker, 1, gives=lambda n: DOT).text(), maker, tmp_path)
    assert (report.rows, report.rejected) == (1, 0) and DOT in words(rows)
    (output,) = (i["output"] for i in rows[0]["trace"]["items"] if i["type"] == "function_call_output")
    if maker not in (GenAI,): assert output[0]["type"] == "input_image" and output[0]["image_url"] == f"data:image/png;base64,{DOT}"


@each
def test_a_record_of_an_unknown_kind(maker, tmp_path):
    "Is in the trace or a reject, and a member that no rule names is reported; the others are as they were"
    report, rows = read(made(maker).text() + json.dumps(maker.typed) + "\n", maker, tmp_path)
    told = any(path.endswith(".secret") for path in report.unnamed)
    assert complete(rows[:1]) and len(rows) + report.rejected >= 1 and (told or "kept words" in words(rows) or report.rejected == 1 and "kept words" in report.rejects[0]["text"])


