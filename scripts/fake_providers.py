"""Answers in the recorded form of OpenAI, Anthropic, Amazon Bedrock and Gemini, from one server on loopback.

The SDKs of these providers talk to it as to the real service, so that the instrumentations on top of them write the
spans they write in production. The forms follow the providers' API references:
https://platform.openai.com/docs/api-reference, https://docs.anthropic.com/en/api,
https://docs.aws.amazon.com/bedrock/latest/APIReference, https://ai.google.dev/api/generate-content.
"""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MODEL_THAT_IS_BUSY = "busy-model"
"""Asked for this model, the server answers 429."""


_numbers = itertools.count(1)


class Answer(NamedTuple):
    """What is sent back.

    Attributes:
        body: A JSON document, or the server-sent events of a stream as they are.
        status: The HTTP status.
    """

    body: dict[str, Any] | str
    status: int = 200


def _events(*data: dict[str, Any], named: bool = False, end: str = "") -> str:
    lines = [(f"event: {item['type']}\n" if named else "") + f"data: {json.dumps(item)}\n\n" for item in data]
    return "".join(lines) + end


def openai_chat(request: dict[str, Any]) -> Answer:
    """``POST /v1/chat/completions``: text, a tool call when tools are offered and none has answered, or a stream."""
    model = f"{request['model']}-2024-08-06" if request["model"] == "gpt-4o" else request["model"]
    usage = {
        "prompt_tokens": 1200,
        "completion_tokens": 42,
        "total_tokens": 1242,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 16, "audio_tokens": 0},
    }
    base = {"id": f"chatcmpl-{next(_numbers)}", "created": 1_795_305_600, "model": model, "service_tier": "default"}
    if request.get("stream"):
        chunk = {**base, "object": "chat.completion.chunk"}
        texts = ("Lis", "bon.")
        parts: list[dict[str, Any]] = [
            {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]}
            for text in texts
        ]
        parts.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (request.get("stream_options") or {}).get("include_usage"):
            parts.append({**chunk, "choices": [], "usage": usage})
        return Answer(_events(*parts, end="data: [DONE]\n\n"))
    answered = any(message.get("role") == "tool" for message in request["messages"])
    if request.get("tools") and not answered:
        name = request["tools"][0]["function"]["name"]
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": name, "arguments": '{"city": "Lisbon"}'},
        }
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": "Lisbon.", "refusal": None}, "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return Answer({**base, "object": "chat.completion", "choices": [choice], "usage": usage})


def openai_responses(request: dict[str, Any]) -> Answer:
    """``POST /v1/responses``."""
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Lisbon.", "annotations": []}],
    }
    return Answer(
        {
            "id": f"resp_{next(_numbers)}",
            "object": "response",
            "created_at": 1_795_305_600,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": request.get("instructions"),
            "metadata": {},
            "model": request["model"],
            "output": [message],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": 1200,
                "input_tokens_details": {"cached_tokens": 1024},
                "output_tokens": 42,
                "output_tokens_details": {"reasoning_tokens": 16},
                "total_tokens": 1242,
            },
        }
    )


def openai_embeddings(request: dict[str, Any]) -> Answer:
    """``POST /v1/embeddings``."""
    vector = {"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}
    if request.get("encoding_format") == "base64":
        vector["embedding"] = "zczMPc3MTD6amZk+"  # the same three floats
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return Answer({"object": "list", "data": [vector], "model": request["model"], "usage": usage})


_ANTHROPIC_USAGE = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "output_tokens": 42,
    "service_tier": "standard",
}


def anthropic_messages(request: dict[str, Any]) -> Answer:
    """``POST /v1/messages``: 50 new tokens, 1,000 read from the cache and 300 written to it, reported apart."""
    message: dict[str, Any] = {
        "id": f"msg_0{next(_numbers)}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{"type": "text", "text": "Lisbon."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _ANTHROPIC_USAGE,
    }
    if not request.get("stream"):
        return Answer(message)
    started = {**message, "content": [], "stop_reason": None, "usage": {**_ANTHROPIC_USAGE, "output_tokens": 1}}
    return Answer(
        _events(
            {"type": "message_start", "message": started},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Lisbon."}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 42},
            },
            {"type": "message_stop"},
            named=True,
        )
    )


def bedrock_converse(request: dict[str, Any]) -> Answer:
    """``POST /model/{id}/converse``."""
    return Answer(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Lisbon."}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 50,
                "outputTokens": 42,
                "totalTokens": 1392,
                "cacheReadInputTokens": 1000,
                "cacheWriteInputTokens": 300,
            },
            "metrics": {"latencyMs": 321},
        }
    )


def gemini_generate(request: dict[str, Any]) -> Answer:
    """``POST …/models/{model}:generateContent``; thoughts are counted beside the candidates."""
    return Answer(
        {
            "candidates": [
                {
                    "content": {"role": "model", "parts": [{"text": "Lisbon."}]},
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 1200,
                "candidatesTokenCount": 42,
                "thoughtsTokenCount": 16,
                "cachedContentTokenCount": 1024,
                "totalTokenCount": 1258,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": f"r-{next(_numbers)}",
        }
    )


def _busy(path: str) -> Answer:
    text = "Rate limit reached for requests"
    if path.endswith("/messages"):
        return Answer({"type": "error", "error": {"type": "rate_limit_error", "message": text}}, 429)
    return Answer({"error": {"message": text, "type": "requests", "param": None, "code": "rate_limit_exceeded"}}, 429)


_ANSWERS = (
    ("/chat/completions", openai_chat),
    ("/responses", openai_responses),
    ("/embeddings", openai_embeddings),
    ("/messages", anthropic_messages),
    ("/converse", bedrock_converse),
    ("/invoke", anthropic_messages),
    (":generateContent", gemini_generate),
)


def answer(path: str, request: dict[str, Any]) -> Answer:
    """The answer to a request."""
    path = path.partition("?")[0]
    if request.get("model") == MODEL_THAT_IS_BUSY:
        return _busy(path)
    for ending, make in _ANSWERS:
        if path.endswith(ending):
            request.setdefault("model", path.rsplit("/", 2)[-2])
            return make(request)
    return Answer({"error": {"message": f"nothing is served at {path}"}}, 404)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers."""
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        made = answer(self.path, json.loads(text or b"{}"))
        streamed = isinstance(made.body, str)
        body = (made.body if isinstance(made.body, str) else json.dumps(made.body)).encode()
        self.send_response(made.status)
        self.send_header("content-type", "text/event-stream" if streamed else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class FakeProviders:
    """The server, for the length of a ``with`` block."""

    def __enter__(self) -> str:
        """Starts it.

        Returns:
            Its URL, without a slash at the end.
        """
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
