"""Language models that write: what they have in common, and how a name becomes one."""

from rag.generators.base import Generator, Message

__all__ = ["Generator", "Message"]
