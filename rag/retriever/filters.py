"""Which documents a search looks in: the checks of what a caller asks for, each naming the value that is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rag.datatypes import Document, Scope

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a passage must be for a search to find it; None leaves all in.

    ``language`` is that of the passage; the rest is asked of its document. ``collection`` and ``metadata`` mean what
    they do in `Scope`, whose empty values leave all in, too; an empty ``doc_ids`` leaves none in.

    Raises:
        ValueError: One of them is no such thing; the message names it.
    """

    language: str | None = None
    doc_ids: Collection[str] | None = None
    collection: str | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.language is not None and not (isinstance(self.language, str) and _LANGUAGE.fullmatch(self.language)):
            raise ValueError(f"language must be an ISO 639-1 code such as 'ar', got {self.language!r}")
        if self.doc_ids is not None:
            _check_doc_ids(self.doc_ids)
        if self.collection is not None and not _is_folder(self.collection):
            raise ValueError(
                f"collection must be a folder of the corpus such as 'articles/2026', got {self.collection!r}"
            )
        if self.metadata is not None:
            _check_metadata(self.metadata)

    @property
    def is_open(self) -> bool:
        """Return whether every document passes."""
        return self.doc_ids is None and not self.collection and not self.metadata

    def passing(self, documents: Mapping[str, Document]) -> list[str]:
        """Return the ids of the documents that pass, each once at least."""
        scope = Scope(collection=self.collection or "", metadata=tuple((self.metadata or {}).items()))
        named = documents if self.doc_ids is None else [doc_id for doc_id in self.doc_ids if doc_id in documents]
        return [doc_id for doc_id in named if scope.admits(documents[doc_id])]


def _check_doc_ids(doc_ids: object) -> None:
    if isinstance(doc_ids, str) or not isinstance(doc_ids, Collection):
        raise ValueError(f"doc_ids must be a collection of ids, got {doc_ids!r}")
    for doc_id in doc_ids:
        if not isinstance(doc_id, str):
            raise ValueError(f"doc_ids must be strings, got {doc_id!r}")


def _is_folder(collection: object) -> bool:
    return isinstance(collection, str) and (
        not collection or not any(part.strip() in ("", ".", "..") for part in collection.split("/"))
    )


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise ValueError(f"metadata must map keys to values, got {metadata!r}")
    for key, value in metadata.items():
        if not (isinstance(key, str) and key.strip() and isinstance(value, str) and value.strip()):
            raise ValueError(f"metadata must map keys to values, neither of them blank, got {key!r}: {value!r}")
