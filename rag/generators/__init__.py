"""Language models that write: what they have in common, and how a name becomes one."""

from rag.generators.base import Generator, Message
from rag.generators.openai_server import PREFIX, OpenAIGenerator, remote_host
from rag.generators.transformers_lm import TransformersGenerator

__all__ = ["Generator", "Message", "open_generator", "remote_host"]


def open_generator(name: str, *, device: str | None = None) -> Generator:
    """Open a language model by its name.

    Args:
        name: ``openai:http://HOST:PORT/v1#MODEL`` for a server that speaks the OpenAI protocol; else a folder, a GGUF
            file, a hub name or ``smollm2`` for a model that runs here; see `TransformersGenerator`.
        device: A torch device for a model that runs here; None takes a GPU where there is one.

    Raises:
        ModelNotFoundError: The model cannot be opened, or the server cannot be reached.
    """
    if name.startswith(PREFIX):
        return OpenAIGenerator(name)
    return TransformersGenerator(name, device=device)
