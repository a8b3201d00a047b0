"""The systems, each behind the same five methods, each used as its own documentation shows.

All get the same passages under ids of their own and give the ids of hits back, best first; each keeps the texts too,
so that it could show them. Batch sizes and index types are each library's defaults. ``raw`` is the floor: what the
libraries are made of. Libraries are imported where they are used: no process sees more than its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.data import Passage
from benchmarks.peers.synthetic import Rows, Synthetic


def is_synthetic(model: Path) -> bool:
    """Return whether a model is a file of `Synthetic` and no folder."""
    return model.suffix == ".npz"


class System:
    """What is measured.

    Args:
        model: A folder of sentence-transformers, or a file of `Synthetic` where ``grows`` says so.
    """

    libraries: ClassVar[Sequence[str]]
    grows: ClassVar[bool] = False
    in_project: ClassVar[bool] = False  # runs in the project's environment
    hybrid: ClassVar[bool] = False  # searches by words too

    def __init__(self, model: Path) -> None:
        self.model = model

    @classmethod
    def prepare(cls, folder: Path, passages: Sequence[Passage]) -> None:
        """Make an empty folder, and put there what lies there before any system comes. Not timed."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """Encode and index all passages and save the index."""
        raise NotImplementedError

    def open(self, folder: Path) -> None:
        """Open a saved index."""
        raise NotImplementedError

    def search(self, query: str, top_k: int) -> list[str]:
        """Return the ids of the passages nearest to a query, best first."""
        raise NotImplementedError

    def add(self, passage: Passage) -> None:
        """Add one passage to the open index; the next search finds it."""
        raise NotImplementedError

    def save(self) -> None:
        """Save what was added; nothing to do where `add` has done so."""

    def versions(self) -> Mapping[str, str]:
        """Return the versions of the libraries that matter."""
        return {name: importlib.metadata.version(name) for name in self.libraries}


class Raw(System):
    """sentence-transformers, a flat FAISS index of inner products, and a list of texts."""

    libraries = ("sentence-transformers", "faiss-cpu", "torch")
    grows = True

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        import faiss

        self._faiss, self._encode = faiss, _encoder(model)
        self._passages: list[tuple[str, str]] = []

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        vectors = self._encode([passage.text for passage in passages])
        self._folder, self._index = folder, self._faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)
        self._passages = [(passage.passage_id, passage.text) for passage in passages]
        self.save()

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        self._folder, self._index = folder, self._faiss.read_index(str(folder / "vectors.faiss"))
        self._passages = json.loads((folder / "passages.json").read_text("utf-8"))

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        _, rows = self._index.search(self._encode([query]), top_k)
        return [self._passages[row][0] for row in rows[0].tolist()]

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._index.add(self._encode([passage.text]))
        self._passages.append((passage.passage_id, passage.text))

    def save(self) -> None:
        """See `System.save`."""
        self._faiss.write_index(self._index, str(self._folder / "vectors.faiss"))
        (self._folder / "passages.json").write_text(json.dumps(self._passages, ensure_ascii=False), "utf-8")


class LangChain(System):
    """LangChain's FAISS vector store with its embeddings of Hugging Face."""

    libraries = ("langchain-core", "langchain-community", "langchain-huggingface")

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        from langchain_huggingface import HuggingFaceEmbeddings

        self._embeddings = HuggingFaceEmbeddings(model_name=str(model))

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        from langchain_community.vectorstores import FAISS

        texts, ids = [passage.text for passage in passages], [passage.passage_id for passage in passages]
        self._folder, self._store = folder, FAISS.from_texts(texts, self._embeddings, ids=ids)
        self.save()

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        from langchain_community.vectorstores import FAISS

        self._folder = folder
        self._store = FAISS.load_local(str(folder), self._embeddings, allow_dangerous_deserialization=True)

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        return [str(document.id) for document in self._store.similarity_search(query, k=top_k)]

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._store.add_texts([passage.text], ids=[passage.passage_id])

    def save(self) -> None:
        """See `System.save`."""
        self._store.save_local(str(self._folder))


class LlamaIndex(System):
    """LlamaIndex's `VectorStoreIndex` over its FAISS store."""

    libraries = (
        *("llama-index-core", "llama-index-embeddings-huggingface"),
        "llama-index-vector-stores-faiss",
    )

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        self._embedding = HuggingFaceEmbedding(model_name=str(model))

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        import faiss
        from llama_index.core import StorageContext, VectorStoreIndex
        from llama_index.vector_stores.faiss import FaissVectorStore

        dim = len(self._embedding.get_text_embedding("x"))
        self._folder = folder
        self._index = VectorStoreIndex(
            [_node(passage) for passage in passages],
            storage_context=StorageContext.from_defaults(
                vector_store=FaissVectorStore(faiss_index=faiss.IndexFlatIP(dim))
            ),
            embed_model=self._embedding,
        )
        self.save()

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        from llama_index.core import StorageContext, load_index_from_storage
        from llama_index.vector_stores.faiss import FaissVectorStore

        store = FaissVectorStore.from_persist_dir(str(folder))
        context = StorageContext.from_defaults(vector_store=store, persist_dir=str(folder))
        self._folder = folder
        self._index = load_index_from_storage(context, embed_model=self._embedding)

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        return [hit.node.node_id for hit in self._index.as_retriever(similarity_top_k=top_k).retrieve(query)]

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._index.insert_nodes([_node(passage)])

    def save(self) -> None:
        """See `System.save`."""
        self._index.storage_context.persist(persist_dir=str(self._folder))


class Txtai(System):
    """txtai with its texts stored in SQLite, by vectors alone."""

    libraries = ("txtai",)
    grows = True

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        from txtai import Embeddings

        encoder = (
            {"method": "external", "transform": "benchmarks.peers.synthetic.transform"}
            if is_synthetic(model)
            else {"path": str(model)}
        )
        self._new: Callable[[], Any] = lambda: Embeddings(content=True, hybrid=self.hybrid, gpu=False, **encoder)

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        self._folder, self._index = folder, self._new()
        self._index.index([(passage.passage_id, passage.text, None) for passage in passages])
        self.save()

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        self._folder, self._index = folder, self._new()
        self._index.load(str(folder))

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        return [hit["id"] for hit in self._index.search(query, top_k)]

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._index.upsert([(passage.passage_id, passage.text, None)])

    def save(self) -> None:
        """See `System.save`."""
        self._index.save(str(self._folder))


class TxtaiHybrid(Txtai):
    """txtai with its BM25 beside the vectors, scores added half and half."""

    hybrid = True


class Chroma(System):
    """Chroma's persistent client: an HNSW graph, texts and full text search in SQLite."""

    libraries = ("chromadb",)
    grows = True

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        self._function: Any
        if is_synthetic(model):
            from chromadb import EmbeddingFunction

            encode = _encoder(model)

            class Known(EmbeddingFunction[Any]):
                def __init__(self) -> None:
                    pass

                def __call__(self, input: Any) -> Any:
                    return list(encode(input))

            self._function = Known()
        else:
            from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

            self._function = SentenceTransformerEmbeddingFunction(model_name=str(model))

    def _collection(self, folder: Path) -> Any:
        import chromadb

        self._client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
        configuration: Any = {"hnsw": {"space": "cosine"}}
        return self._client.get_or_create_collection(
            "passages", embedding_function=self._function, configuration=configuration
        )

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        collection = self._collection(folder)
        most = self._client.get_max_batch_size()
        for begin in range(0, len(passages), most):
            batch = passages[begin : begin + most]
            collection.add(ids=[p.passage_id for p in batch], documents=[p.text for p in batch])

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        self._index = self._collection(folder)

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        found: list[str] = self._index.query(query_texts=[query], n_results=top_k)["ids"][0]
        return found

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._index.add(ids=[passage.passage_id], documents=[passage.text])


class Haystack(System):
    """Haystack's document store in memory, saved as JSON, with its embedders and its retriever."""

    libraries = ("haystack-ai", "sentence-transformers-haystack")

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore
        from haystack_integrations.components.embedders.sentence_transformers import (
            SentenceTransformersDocumentEmbedder,
            SentenceTransformersTextEmbedder,
        )

        self._stores, self._retriever = InMemoryDocumentStore, InMemoryEmbeddingRetriever
        self._documents = SentenceTransformersDocumentEmbedder(model=str(model), progress_bar=False)
        self._queries = SentenceTransformersTextEmbedder(model=str(model), progress_bar=False)
        self._documents.warm_up()
        self._queries.warm_up()

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        self._use(folder, self._stores(embedding_similarity_function="cosine"))
        self._write(passages)
        self.save()

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        self._use(folder, self._stores.load_from_disk(str(folder / "store.json")))

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        vector = self._queries.run(query)["embedding"]
        return [document.id for document in self._search.run(query_embedding=vector, top_k=top_k)["documents"]]

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        self._write([passage])

    def save(self) -> None:
        """See `System.save`."""
        self._store.save_to_disk(str(self._folder / "store.json"))

    def _use(self, folder: Path, store: Any) -> None:
        self._folder, self._store, self._search = folder, store, self._retriever(store)

    def _write(self, passages: Sequence[Passage]) -> None:
        from haystack import Document

        documents = [Document(id=passage.passage_id, content=passage.text) for passage in passages]
        self._store.write_documents(self._documents.run(documents)["documents"])


class Sanad(System):
    """Sanad with its built-in embedder, from text files on disk: they are read, cut, embedded, analysed for BM25.

    Passages are as long as the embedder's window, so that a paragraph stays whole where it can be read whole. Search
    is always hybrid and across languages. What is added is on the disk before it is found.
    """

    libraries = ("sanad", "onnxruntime", "faiss-cpu")
    grows = in_project = hybrid = True

    def __init__(self, model: Path) -> None:
        super().__init__(model)
        from rag.embedder import Embedder

        self._embedder: Any = (
            SyntheticEmbedder(Synthetic.load(model)) if is_synthetic(model) else Embedder.open(self.weights())
        )

    def weights(self) -> Path | None:
        """Return the folder of the embedder; None for the built-in one."""
        return None

    @classmethod
    def prepare(cls, folder: Path, passages: Sequence[Passage]) -> None:
        """Write each passage as a file."""
        super().prepare(folder, passages)
        for passage in passages:
            _write_file(folder, passage)

    def build(self, folder: Path, passages: Sequence[Passage]) -> None:
        """See `System.build`."""
        from rag import build_index
        from rag.config import ChunkingConfig

        chunking = ChunkingConfig(max_tokens=self._embedder.max_tokens)
        report = build_index(folder / "corpus", folder / "index", embedder=self._embedder, chunking=chunking)
        if report.failed:
            raise RuntimeError(f"Sanad could not read {report.failed[0]}")

    def open(self, folder: Path) -> None:
        """See `System.open`."""
        from rag import Retriever

        self._folder, self._index = folder, Retriever.open(folder / "index", embedder=self._embedder)

    def search(self, query: str, top_k: int) -> list[str]:
        """See `System.search`."""
        hits = self._index.search(query, top_k=top_k)
        return list(dict.fromkeys(Path(hit.passage.doc_id).stem for hit in hits))

    def add(self, passage: Passage) -> None:
        """See `System.add`."""
        _write_file(self._folder, passage)
        self.build(self._folder, [])
        self._index.refresh()


class SanadSameModel(Sanad):
    """Sanad with the very model that the others use, through sentence-transformers."""

    libraries = ("sanad", "sentence-transformers", "torch", "faiss-cpu")
    grows = False

    def weights(self) -> Path | None:
        """See `Sanad.weights`."""
        return self.model


class SyntheticEmbedder:
    """What a build and a search need of an embedder, by a `Synthetic`."""

    def __init__(self, synthetic: Synthetic) -> None:
        self.name, self.max_tokens, self.dim = "synthetic", 4096, synthetic.dim
        self.fingerprint = {"name": "synthetic", "dim": synthetic.dim}
        self._synthetic = synthetic

    def encode_passages(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Rows:
        """Return unit vectors, shape (len(texts), dim)."""
        return self._synthetic.encode(texts)

    def encode_queries(self, queries: Sequence[str]) -> Rows:
        """Return unit vectors, shape (len(queries), dim)."""
        return self._synthetic.encode(queries)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the words of each text and two."""
        return [len(text.split()) + 2 for text in texts]


def _encoder(model: Path) -> Callable[[Sequence[str]], Rows]:
    if is_synthetic(model):
        return Synthetic.load(model).encode
    from sentence_transformers import SentenceTransformer

    network = SentenceTransformer(str(model), device="cpu")
    return lambda texts: network.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)


def _node(passage: Passage) -> Any:
    from llama_index.core.schema import TextNode

    return TextNode(id_=passage.passage_id, text=passage.text)


def _write_file(folder: Path, passage: Passage) -> None:
    place = folder / "corpus" / passage.passage_id[:3] / f"{passage.passage_id}.txt"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(passage.text, "utf-8")


SYSTEMS: Mapping[str, type[System]] = {
    "raw": Raw,
    "langchain": LangChain,
    "llama-index": LlamaIndex,
    "txtai": Txtai,
    "txtai-hybrid": TxtaiHybrid,
    "chroma": Chroma,
    "haystack": Haystack,
    "sanad": Sanad,
    "sanad-same-model": SanadSameModel,
}
