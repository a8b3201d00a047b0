"""The Haystack components in Haystack's own pipelines, with telemetry off."""

import asyncio
import os
import sys

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import pytest
from conftest import HashEmbedder
from haystack import Document, Pipeline
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.errors import FilterError
from shelf import ARABIC_QUESTION, FIELDS, QUESTION, check_nothing_is_sent, fill, run_page

from rag import Retriever
from rag.errors import IndexNotFoundError, RagError
from rag.integrations.haystack import SanadDocumentEmbedder, SanadRetriever, SanadTextEmbedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("haystack")


@pytest.fixture(scope="module")
def index(folder):
    """Return an open retriever of the four documents."""
    return fill(folder)


def equal(field, value, operator="=="):
    return {"field": field, "operator": operator, "value": value}


def test_documents_are_the_hits_in_order_with_their_places(index):
    hits = index.search(QUESTION, top_k=4)
    documents = SanadRetriever(index).run(QUESTION, top_k=4)["documents"]
    assert [(document.content, document.score) for document in documents] == [
        (hit.passage.text, hit.score) for hit in hits
    ]
    best, passage = documents[0], hits[0].passage
    assert best.id == best.meta["passage_id"] == passage.passage_id
    assert best.meta["doc_id"] == "garden/tomatoes.md"
    assert set(best.meta) == FIELDS - {"score"}  # a document of Haystack has that beside its meta
    assert Document.from_dict(best.to_dict()) == best


def test_a_pipeline_puts_the_passages_in_a_prompt(index):
    pipeline = Pipeline()
    pipeline.add_component("retriever", SanadRetriever(index, top_k=1))
    template = "{% for document in documents %}[{{ document.meta.title }}] {{ document.content }}{% endfor %}"
    pipeline.add_component("prompt", PromptBuilder(template, required_variables=["documents"]))
    pipeline.connect("retriever.documents", "prompt.documents")
    prompt = pipeline.run({"retriever": {"query": ARABIC_QUESTION}})["prompt"]["prompt"]
    assert prompt.startswith("[دليل الغلاية الزرقاء]")
    assert "ثلاث سنوات" in prompt


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (equal("meta.language", "en"), {"garden/tomatoes.md", "garden/peppers.md"}),
        (equal("meta.doc_id", "home/oven.md"), {"home/oven.md"}),
        (equal("doc_id", ["home/oven.md", "not/there.md"], "in"), {"home/oven.md"}),
        (equal("meta.collection", "home"), {"home/kettle.md", "home/oven.md"}),
        (equal("meta.tags", "summer"), {"garden/peppers.md"}),
        (
            {"operator": "AND", "conditions": [equal("meta.author", "Sara"), equal("meta.language", "en")]},
            {"garden/peppers.md"},
        ),
        ({"operator": "AND", "conditions": [equal("meta.author", "Sara"), equal("meta.language", "ar")]}, set()),
    ],
)
def test_filters_narrow_the_search(index, filters, found):
    documents = SanadRetriever(index, top_k=4).run(QUESTION, filters=filters)["documents"]
    assert {document.meta["doc_id"] for document in documents} == found


@pytest.mark.parametrize(
    "filters",
    [
        equal("meta.page", 3),
        equal("meta.language", "en", "!="),
        equal("meta.language", None),
        {"operator": "OR", "conditions": [equal("meta.language", "en")]},
        {"operator": "AND", "conditions": [equal("meta.language", "en"), equal("meta.language", "ar")]},
    ],
)
def test_a_filter_that_cannot_be_kept_is_refused(index, filters):
    with pytest.raises(FilterError):
        SanadRetriever(index).run(QUESTION, filters=filters)
    with pytest.raises(FilterError):
        SanadRetriever(index, filters=filters)


def test_diversity_is_that_of_the_retriever(index):
    expected = [hit.passage.passage_id for hit in index.search(QUESTION, diversity=0.9)]
    assert expected != [hit.passage.passage_id for hit in index.search(QUESTION)]
    for documents in (
        SanadRetriever(index, diversity=0.9).run(QUESTION)["documents"],
        SanadRetriever(index).run(QUESTION, diversity=0.9)["documents"],
    ):
        assert [document.id for document in documents] == expected


def test_an_awaited_pipeline_finds_the_same(index):
    pipeline = Pipeline()
    pipeline.add_component("retriever", SanadRetriever(index))
    question = {"retriever": {"query": ARABIC_QUESTION}}
    assert asyncio.run(pipeline.run_async(question)) == pipeline.run(question)


def test_filters_of_a_run_take_the_place_of_the_constructors(index):
    retriever = SanadRetriever(index, top_k=1, filters=equal("meta.language", "ar"))
    assert retriever.run(QUESTION)["documents"][0].meta["language"] == "ar"
    assert retriever.run(QUESTION, filters=equal("meta.language", "en"))["documents"][0].meta["language"] == "en"


def test_a_saved_pipeline_finds_the_same(demo_index):
    before = Pipeline()
    settings = {"top_k": 2, "filters": equal("meta.language", "en")}
    before.add_component("retriever", SanadRetriever(Retriever.open(demo_index), **settings))
    after = Pipeline.loads(before.dumps(), allowed_modules=["rag.integrations.haystack"])
    data = after.to_dict()["components"]["retriever"]["init_parameters"]
    assert data == {"index": str(demo_index), "embedder": None, "diversity": 0.0, **settings}
    question = {"retriever": {"query": "ما هي التجارة الاجتماعية؟"}}
    assert after.run(question) == before.run(question)


def test_vectors_fill_and_search_a_store_of_haystack():
    store, embedder = InMemoryDocumentStore(embedding_similarity_function="cosine"), HashEmbedder()
    indexing = Pipeline()
    indexing.add_component("embedder", SanadDocumentEmbedder(embedder))
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder.documents", "writer.documents")
    given = [Document(content=text) for text in ("red kettle", "green tomatoes", "blue sky")]
    indexing.run({"embedder": {"documents": given}})
    assert all(document.embedding is None for document in given)
    search = Pipeline()
    search.add_component("embedder", SanadTextEmbedder(embedder))
    search.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    search.connect("embedder.embedding", "retriever.query_embedding")
    assert search.run({"embedder": {"text": "tomatoes"}})["retriever"]["documents"][0].content == "green tomatoes"


def test_a_saved_embedder_is_named_and_not_opened():
    pipeline = Pipeline()
    pipeline.add_component("embedder", SanadTextEmbedder("owner/model"))
    copy = Pipeline.loads(pipeline.dumps(), allowed_modules=["rag.integrations.haystack"])
    assert copy.to_dict() == pipeline.to_dict()


def test_no_index_is_said_by_the_first_run(tmp_path):
    retriever = SanadRetriever(tmp_path / "nowhere")
    with pytest.raises(IndexNotFoundError):
        retriever.run(QUESTION)


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "haystack"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "rag.integrations.haystack")
    with pytest.raises(RagError, match=r"Install it: pip install 'sanad\[haystack\]'") as caught:
        import rag.integrations.haystack  # noqa: F401
    assert isinstance(caught.value, ImportError)


def test_nothing_is_sent_and_no_user_is_counted(index, folder, tmp_path):
    code = f"""
from conftest import HashEmbedder
from rag import Retriever
from rag.integrations.haystack import SanadRetriever
from haystack import Pipeline
pipeline = Pipeline()
retriever = Retriever.open({str(folder / "index")!r}, embedder=HashEmbedder())
pipeline.add_component("retriever", SanadRetriever(retriever))
assert pipeline.run({{"retriever": {{"query": "tomatoes"}}}})["retriever"]["documents"]
"""
    check_nothing_is_sent(code, HOME=str(tmp_path))
    assert not (tmp_path / ".haystack").exists()


def test_the_how_to_runs_as_written(demo_index, tmp_path):
    printed = run_page("haystack.md", demo_index, tmp_path).splitlines()
    assert len(printed) == 4 and printed[-1] == "True"
