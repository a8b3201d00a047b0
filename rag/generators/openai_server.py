"""A language model behind a server that speaks the OpenAI protocol: Ollama, llama.cpp, vLLM and others.

The key, where the server wants one, comes from the environment variable ``SANAD_API_KEY``.
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from rag.errors import GeneratorError, ModelNotFoundError
from rag.generators.base import Message
from rag.generators.pieces import without_thinking

PREFIX = "openai:"

_KEY_VARIABLE = "SANAD_API_KEY"
_CONNECT_S = 5.0
_RETRIES = 2
_CONTEXT_TOKENS = 4096  # where the server does not tell: what Ollama gives a model unless told otherwise
_BYTES_A_TOKEN = 3
_TOKENS_A_MESSAGE = 8
# vLLM and llama.cpp pass it on to the chat template. A server that refuses what it does not know is asked without.
_NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
_REMEDY = "Check that the server runs, and name it like openai:http://127.0.0.1:11434/v1#MODEL"


class OpenAIGenerator:
    """A model of a server. Threads may share one; how many answers are written at once is the server's affair.

    A request is made again, twice at most, when the connection fails or the server answers 408, 429 or 5xx, but never
    once a piece of the answer has come.

    Args:
        name: ``openai:http://HOST:PORT/v1#MODEL``; without ``#MODEL`` the first one that the server lists is taken.
        read_timeout_s: How long the server may be silent, before the answer and between its pieces.

    Raises:
        ModelNotFoundError: The name is of another form, the server cannot be reached, or it lists no model.

    Attributes:
        name: As the user named it.
        context_tokens: What the server says of the model (``max_model_len`` of vLLM, ``meta.n_ctx`` of llama.cpp),
            else 4,096.
    """

    def __init__(self, name: str, *, read_timeout_s: float = 60.0) -> None:
        url, model = _split(name)
        import openai

        self.name = name
        self._url = url
        self._key = os.environ.get(_KEY_VARIABLE, "")
        self._options: dict[str, Any] = {"extra_body": _NO_THINKING}
        self._openai = openai
        self._client = openai.OpenAI(
            base_url=url,
            api_key=self._key or "none",
            organization="",
            project="",
            timeout=openai.Timeout(read_timeout_s, connect=_CONNECT_S),
            max_retries=_RETRIES,
        )
        listed = self._listed(is_needed=not model)
        self._model = model or next(iter(listed), "")
        if not self._model:
            raise ModelNotFoundError(f"the server at {url} lists no model. {_REMEDY}")
        self.context_tokens = listed.get(self._model, _CONTEXT_TOKENS)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return an upper estimate, for the protocol has no way to ask: one token for 3 bytes, and 8 for a message.

        Tokenizers of today make about one token of 4 bytes of English and of 4 bytes (2 letters) of Arabic.
        """
        sizes = (len(message.content.encode("utf-8", "replace")) for message in messages)
        return sum(-(-size // _BYTES_A_TOKEN) + _TOKENS_A_MESSAGE for size in sizes)

    def stream(
        self, messages: Sequence[Message], *, max_new_tokens: int, stop: threading.Event | None = None
    ) -> Iterator[str]:
        """Write an answer piece by piece; see `Generator.stream`.

        Raises:
            GeneratorError: The server failed, fell silent, broke off or sent what is no answer; what was yielded
                before stands.
        """
        yield from without_thinking(self._pieces(messages, max_new_tokens, stop))

    def _pieces(self, messages: Sequence[Message], max_new_tokens: int, stop: threading.Event | None) -> Iterator[str]:
        is_finished = False
        try:
            with self._begin(messages, max_new_tokens) as chunks:
                for chunk in chunks:
                    if stop is not None and stop.is_set():
                        return
                    for choice in chunk.choices or ():
                        is_finished = is_finished or choice.finish_reason is not None
                        if choice.delta.content:
                            yield str(choice.delta.content)
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            # Not chained: the server's own words may repeat the key.
            raise GeneratorError(f"{self._said(error)}. {_REMEDY}, or choose another model") from None
        if not is_finished:
            raise GeneratorError(f"the server at {self._url} broke off before the answer was whole. {_REMEDY}")

    def _begin(self, messages: Sequence[Message], max_new_tokens: int) -> Any:
        for is_last in (not self._options, True):
            try:
                return self._client.chat.completions.create(
                    model=self._model,
                    messages=[{"role": m.role, "content": m.content} for m in messages],  # type: ignore[misc]
                    max_tokens=max_new_tokens,
                    temperature=0,
                    stream=True,
                    **self._options,
                )
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError):
                if is_last:
                    raise
                self._options = {}
        raise AssertionError("unreachable")

    def _listed(self, *, is_needed: bool) -> dict[str, int]:
        """Return the context of each model that the server lists; nothing if it keeps no list and none is needed."""
        try:
            models = list(self._client.models.list())
            return {str(model.id): _context_of(model) for model in models}
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            if isinstance(error, self._openai.APIConnectionError) or is_needed:
                raise ModelNotFoundError(f"{self._said(error)}. {_REMEDY}") from None
            return {}

    def _said(self, error: Exception) -> str:
        """Return what went wrong, in one line without the key."""
        status = getattr(error, "status_code", None)
        what = f"answered {status}" if status else "sent what is no answer"
        if isinstance(error, self._openai.APITimeoutError):
            what = "did not answer in time"
        elif isinstance(error, self._openai.APIConnectionError):
            what = "cannot be reached, or closed the connection"
        first = (str(error).strip().splitlines() or [""])[0][:200].rstrip(".")
        detail = first.replace(self._key, "***") if self._key else first
        return f"the server at {self._url} {what}" + (f" ({detail})" if detail else "")


def remote_host(name: str) -> str | None:
    """Return the host that a model's prompts are sent to; None where they stay on this machine."""
    if not name.startswith(PREFIX):
        return None
    host = urlsplit(_split(name)[0]).hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost" or host.endswith(".localhost")
    return None if is_here else host


def _split(name: str) -> tuple[str, str]:
    """Return the address and the model of a name; the model is empty where none is named."""
    address, _, model = name.removeprefix(PREFIX).partition("#")
    try:
        parts = urlsplit(address)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ModelNotFoundError(f"{name} names no server. {_REMEDY}")
    if parts.username or parts.password or parts.query:
        raise ModelNotFoundError(
            f"the address of the server {parts.hostname} carries a user or a key. Put the key into {_KEY_VARIABLE}"
        )
    return address.rstrip("/"), unquote(model)


def _context_of(model: Any) -> int:
    meta = getattr(model, "meta", None) or {}
    stated = getattr(model, "max_model_len", None) or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return int(stated) if stated else _CONTEXT_TOKENS
