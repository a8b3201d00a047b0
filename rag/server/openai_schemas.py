"""What the routes under ``/v1`` take and give, in OpenAI's own shapes; what we have no use for is ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from rag.server.schemas import Whole

MAX_MESSAGES = 1_000
MAX_INPUTS = 2_048  # as OpenAI's
Input = Annotated[str, StringConstraints(min_length=1)]
T = TypeVar("T")


def _encodable(value: T) -> T:
    # JSON can name half of a pair of surrogates, which is no character and ends as a UnicodeEncodeError: a ValueError.
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str):
            text.encode("utf-8")
    return value


Encodable = AfterValidator(_encodable)


class Part(BaseModel):
    """A part of a message; only ``text`` is read."""

    model_config = ConfigDict(strict=True)
    type: str
    text: Annotated[str, Encodable] | None = None


class ChatMessage(BaseModel):
    """A message. Those of ``user`` and ``assistant`` are read; others are data that instruct nobody, and ignored."""

    model_config = ConfigDict(strict=True)
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[str | list[Part], Encodable] | None = None

    def text(self) -> str:
        """Return its text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text" and part.text)
        return self.content or ""


class StreamOptions(BaseModel):
    """How to stream."""

    model_config = ConfigDict(strict=True)
    include_usage: bool | None = Field(False, description="One more chunk at the end, with the usage.")


class CompletionRequest(BaseModel):
    """Body of ``POST /v1/chat/completions``; temperature, tools and what else is not named here are ignored."""

    model_config = ConfigDict(strict=True)
    model: str = Field(description="`sanad` for quotes, or a language model that is open here.", examples=["sanad"])
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)] = Field(
        description="The last message of the user is the question, those before are its history.",
        examples=[[{"role": "user", "content": "What is social commerce?"}]],
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1), Whole] | None = Field(None, description="One answer, no more.")


class EmbeddingRequest(BaseModel):
    """Body of ``POST /v1/embeddings``."""

    model_config = ConfigDict(strict=True)
    model: str = Field(description="`sanad`, or the name of the embedder.", examples=["sanad"])
    input: Annotated[Input | Annotated[list[Input], Field(min_length=1, max_length=MAX_INPUTS)], Encodable]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1), Whole] | None = Field(None, description="Only the embedder's own number.")
    input_type: Literal["passage", "query"] | None = Field(
        "passage", description="Not of OpenAI: some embedders read a query in another way than a passage."
    )


class OpenAIError(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorObject


class OpenAIErrorObject(BaseModel):
    """What went wrong; ``param`` is the field at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class Usage(BaseModel):
    """Tokens, as the embedder counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionMessage(BaseModel):
    """The answer: Markdown with [n] marks and a list of its sources; ``citations`` are the sources as data."""

    model_config = ConfigDict(extra="allow")
    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[dict[str, Any]]
    citations: list[dict[str, Any]]


class CompletionChoice(BaseModel):
    """The one answer."""

    index: int
    message: CompletionMessage
    finish_reason: Literal["stop"]
    logprobs: None


class CompletionReply(BaseModel):
    """A chat completion; ``sanad`` tells of the answer what OpenAI's shape has no place for."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage
    sanad: dict[str, Any]


class CompletionDelta(BaseModel):
    """What a chunk adds: the role first, then text, at the end the sources."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    annotations: list[dict[str, Any]] | None = None
    citations: list[dict[str, Any]] | None = None


class ChunkChoice(BaseModel):
    """The one answer, as it grows."""

    index: int
    delta: CompletionDelta
    finish_reason: Literal["stop"] | None
    logprobs: None


class CompletionChunk(BaseModel):
    """A piece of a streamed chat completion; the chunk with the usage has no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    sanad: dict[str, Any] | None = None


class ModelReply(BaseModel):
    """A model that answers."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsReply(BaseModel):
    """The models that answer."""

    object: Literal["list"]
    data: list[ModelReply]


class EmbeddingObject(BaseModel):
    """A vector of norm 1: numbers, or the base64 of 32-bit floats, little endian."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens, as the embedder counts them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingReply(BaseModel):
    """Vectors in the order of the input."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


OpenAIError.model_rebuild()
