"""The LlamaIndex adapter, in LlamaIndex's own query engine with its own language model for tests."""

import sys

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import MetadataMode
from shelf import ARABIC_QUESTION, FIELDS, QUESTION, check_nothing_is_sent, fill, run_page

from rag.errors import IndexNotFoundError, RagError
from rag.integrations.llama_index import SanadRetriever


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("llama_index")


@pytest.fixture(scope="module")
def index(folder):
    """Return an open retriever of the four documents."""
    return fill(folder)


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_nodes_are_the_hits_in_order_with_their_places(index):
    hits = index.search(QUESTION, top_k=4)
    found = SanadRetriever(index, top_k=4).retrieve(QUESTION)
    assert [(node.text, node.score) for node in found] == [(hit.passage.text, hit.score) for hit in hits]
    best, passage = found[0].node, hits[0].passage
    assert (best.node_id, best.ref_doc_id) == (passage.passage_id, "garden/tomatoes.md")
    assert (best.start_char_idx, best.end_char_idx) == (passage.start, passage.end)
    assert best.metadata["rank"] == 1
    assert set(best.metadata) == FIELDS


def test_offsets_are_those_of_the_document(index):
    for found in SanadRetriever(index).retrieve(ARABIC_QUESTION):
        text = index.snapshot().document(found.node.ref_doc_id).text
        assert text[found.node.start_char_idx : found.node.end_char_idx] == found.text


def test_a_model_is_shown_the_title_and_the_heading_and_no_offsets(index):
    shown = SanadRetriever(index, top_k=1).retrieve(QUESTION)[0].node.get_content(MetadataMode.LLM)
    assert "title: Growing tomatoes" in shown
    assert "passage_id" not in shown and "start:" not in shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"doc_ids": ["home/oven.md"]}, {"home/oven.md"}),
        ({"collection": "garden"}, {"garden/tomatoes.md", "garden/peppers.md"}),
        ({"metadata": {"author": "sara"}}, {"garden/peppers.md"}),
        ({"language": "ar"}, {"home/kettle.md", "home/oven.md"}),
    ],
)
def test_options_narrow_the_search(index, options, found):
    assert {node.node.ref_doc_id for node in SanadRetriever(index, **options).retrieve(QUESTION)} == found


def test_diversity_is_that_of_the_retriever(index):
    expected = [hit.passage.passage_id for hit in index.search(QUESTION, diversity=0.9)]
    assert expected != [hit.passage.passage_id for hit in index.search(QUESTION)]
    assert [found.node_id for found in SanadRetriever(index, diversity=0.9).retrieve(QUESTION)] == expected


@pytest.mark.anyio
async def test_the_awaited_answer_is_the_same(index):
    retriever = SanadRetriever(index)
    assert await retriever.aretrieve(ARABIC_QUESTION) == retriever.retrieve(ARABIC_QUESTION)


def test_a_query_engine_answers_from_the_passages(index):
    engine = RetrieverQueryEngine(
        SanadRetriever(index, top_k=1),
        response_synthesizer=get_response_synthesizer(llm=MockLLM(), response_mode=ResponseMode.COMPACT),
    )
    response = engine.query(ARABIC_QUESTION)
    assert "مدة ضمان الغلاية الزرقاء ثلاث سنوات" in str(response)  # this model repeats what it was asked
    assert [source.node.ref_doc_id for source in response.source_nodes] == ["home/kettle.md"]


@pytest.mark.anyio
async def test_a_query_engine_answers_without_blocking_the_loop(index):
    engine = RetrieverQueryEngine(
        SanadRetriever(index, top_k=1), response_synthesizer=get_response_synthesizer(llm=MockLLM())
    )
    assert "six hours of direct sunlight" in str(await engine.aquery(QUESTION))


def test_it_is_fused_with_other_retrievers(index):
    english, arabic = (SanadRetriever(index, language=language, top_k=1) for language in ("en", "ar"))
    fused = QueryFusionRetriever([english, arabic], llm=MockLLM(), num_queries=1, use_async=False)
    assert {found.metadata["language"] for found in fused.retrieve(QUESTION)} == {"en", "ar"}


def test_an_index_folder_is_opened_with_the_built_in_models(demo_index):
    (best,) = SanadRetriever(demo_index, top_k=1).retrieve("What is social commerce?")
    assert "social" in best.node.ref_doc_id


def test_no_index_is_the_error_of_sanad(tmp_path):
    with pytest.raises(IndexNotFoundError):
        SanadRetriever(tmp_path / "nowhere")


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "llama_index"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "rag.integrations.llama_index")
    with pytest.raises(RagError, match=r"Install it: pip install 'sanad\[llama-index\]'") as caught:
        import rag.integrations.llama_index  # noqa: F401
    assert isinstance(caught.value, ImportError)


def test_nothing_is_sent(index, folder):
    check_nothing_is_sent(f"""
from conftest import HashEmbedder
from rag import Retriever
from rag.integrations.llama_index import SanadRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
retriever = Retriever.open({str(folder / "index")!r}, embedder=HashEmbedder())
synthesizer = get_response_synthesizer(llm=MockLLM())
assert str(RetrieverQueryEngine(SanadRetriever(retriever), response_synthesizer=synthesizer).query("tomatoes"))
""")


def test_the_how_to_runs_as_written(demo_index, tmp_path):
    printed = run_page("llama-index.md", demo_index, tmp_path).splitlines()
    assert printed[-2:] == ["['ar', 'ar', 'ar', 'ar', 'ar']", "3"]
