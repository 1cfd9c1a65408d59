"""Logs of every format, made turn by turn: sound, small, and with words of their own in each turn."""
import base64
import json

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


class Gemini(Log):
    name, file, linked, typed = "gemini_cli", "session-s1.jsonl", False, {"id": "zz", "type": "brand_new", "content": "kept words", "timestamp": moment(0)}
    def turn(self, n, says, gives, at, tree=None):
        if not self.lines: self.lines.append({"sessionId": self.id, "projectHash": "p", "startTime": at})
        call = {"id": f"c{n}", "name": "look", "args": {"n": n}, "status": "success", "timestamp": at, "result": [{"functionResponse": {"id": f"c{n}", "name": "look", "response": {"output": gives}}}]}
        self.lines += [{"id": f"u{n}", "timestamp": at, "type": "user", "content": [{"text": says}]}, {"id": f"g{n}", "timestamp": at, "type": "gemini", "content": "", "model": "m", "toolCalls": [call]},
                       {"id": f"a{n}", "timestamp": at, "type": "gemini", "content": f"done {n}", "model": "m", "tokens": {"input": 9, "output": 1, "total": 10}}]


class LangChain(Log):
    "Spans of an agent that calls tools by name: a model call with all that went before it, and the tool"
    name, file, linked, typed = "langchain", "spans.jsonl", True, {"span_id": "zz", "trace_id": "t-s1", "name": "brand new", "attributes": {"tool.name": "kept words"}}
    def __init__(self, id="s1"):
        super().__init__(id)
        self.said = "Question:"
    def span(self, n, name, at, attributes):
        return {"span_id": f"p{n}", "trace_id": f"t-{self.id}", "parent_span_id": f"p{n - 1}" if n else None, "name": name, "start_time": at, "end_time": at, "status": "ok", "attributes": attributes, "events": [],
                "sdk": {"name": "noveum-trace-python", "version": "0.3.7"}}
    def turn(self, n, says, gives, at, tree=None):
        thought = f"I look.\nAction: look\nAction Input: {n}"
        self.said += f" {says}\nThought:"
        self.lines.append(self.span(3 * n, "llm.openai", at, {"llm.model": "m", "llm.input.prompts": [self.said], "llm.output.response": [thought], "llm.input_tokens": 9, "llm.output_tokens": 1}))
        self.lines.append(self.span(3 * n + 1, "tool:look", at, {"tool.name": "look", "tool.input.input_str": str(n), "tool.output.output": gives}))
        self.said += f"{thought}\nObservation: {gives}\nThought:"
        self.lines.append(self.span(3 * n + 2, "llm.openai", at, {"llm.model": "m", "llm.input.prompts": [self.said], "llm.output.response": [f"I know.\nFinal Answer: done {n}"]}))


MAKERS = {made.name: made for made in (Claude, Codex, Hermes, Pi, Chat, Atif, GenAI, OpenInference)}
OTHERS = {made.name: made for made in (Gemini, LangChain)}   # a message that is written again, and one growing text: of another nature than turns


def made(maker, turns=3, id="s1", gives=None, at=moment, tree=None):
    log = maker(id)
    for n in range(turns): log.turn(n, f"words {n} of {id}", gives(n) if gives else f"result {n} of {id}", at(n), tree)
    return log
