"""The LangChain adapter: LangChain's own standard tests, and what they do not ask."""

import sys

import pytest
from conftest import HashEmbedder
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests, RetrieversIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests
from shelf import ARABIC_QUESTION, FIELDS, QUESTION, check_nothing_is_sent, fill, run_page

from rag.errors import IndexNotFoundError, RagError
from rag.integrations.langchain import SanadEmbeddings, SanadRetriever


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("langchain")


@pytest.fixture(scope="module")
def index(folder):
    """Return an open retriever of the four documents."""
    return fill(folder)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
class TestStandardRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _open(self, index):
        self.index = index

    @property
    def retriever_constructor(self):
        return SanadRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index}

    @property
    def retriever_query_example(self):
        return QUESTION

    @property
    def num_results_arg_name(self):
        return "top_k"


class TestStandardEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return SanadEmbeddings

    @property
    def embedding_model_params(self):
        return {"embedder": HashEmbedder()}


@pytest.mark.anyio
class TestStandardEmbeddingsInUse(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return SanadEmbeddings

    @property
    def embedding_model_params(self):
        return {"embedder": HashEmbedder()}


def test_documents_are_the_hits_in_order_with_their_places(index):
    hits = index.search(QUESTION, top_k=4)
    documents = SanadRetriever(index=index, top_k=4).invoke(QUESTION)
    assert [document.page_content for document in documents] == [hit.passage.text for hit in hits]
    best, hit = documents[0], hits[0]
    assert best.id == best.metadata["passage_id"] == hit.passage.passage_id
    assert set(best.metadata) == FIELDS
    assert best.metadata["title"] == "Growing tomatoes"
    assert [best.metadata[name] for name in ("rank", "score", "page")] == [1, hit.score, None]


def test_offsets_are_those_of_the_document(index):
    for document in SanadRetriever(index=index).invoke(ARABIC_QUESTION):
        text = index.snapshot().document(document.metadata["doc_id"]).text
        assert text[document.metadata["start"] : document.metadata["end"]] == document.page_content


def test_a_call_narrows_what_the_object_leaves_open(index):
    retriever = SanadRetriever(index=index, top_k=1)
    assert [document.metadata["language"] for document in retriever.invoke(ARABIC_QUESTION)] == ["ar"]
    assert [document.metadata["language"] for document in retriever.invoke(ARABIC_QUESTION, language="en")] == ["en"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"doc_ids": ["home/oven.md"]}, {"home/oven.md"}),
        ({"collection": "garden"}, {"garden/tomatoes.md", "garden/peppers.md"}),
        ({"metadata_filter": {"author": "sara"}}, {"garden/peppers.md"}),
        ({"language": "ar"}, {"home/kettle.md", "home/oven.md"}),
    ],
)
def test_options_narrow_the_search(index, options, found):
    documents = SanadRetriever(index=index, **options).invoke(QUESTION)
    assert {document.metadata["doc_id"] for document in documents} == found


def test_diversity_is_that_of_the_retriever(index):
    expected = [hit.passage.passage_id for hit in index.search(QUESTION, diversity=0.9)]
    assert expected != [hit.passage.passage_id for hit in index.search(QUESTION)]
    assert [document.id for document in SanadRetriever(index=index, diversity=0.9).invoke(QUESTION)] == expected


def test_an_unknown_option_is_refused(index):
    with pytest.raises(TypeError, match="unknown options metadata; there are top_k, language"):
        SanadRetriever(index=index).invoke(QUESTION, metadata={"author": "Sara"})


@pytest.mark.anyio
async def test_many_questions_at_once_give_the_answers_of_one_at_a_time(index):
    retriever = SanadRetriever(index=index, top_k=2)
    questions = [QUESTION, ARABIC_QUESTION, "when to water"]
    assert await retriever.abatch(questions) == [retriever.invoke(question) for question in questions]


def test_the_retriever_is_a_link_of_a_chain(index):
    chain = SanadRetriever(index=index, top_k=1) | RunnableLambda(lambda found: found[0].metadata["title"])
    assert chain.invoke(ARABIC_QUESTION) == "دليل الغلاية الزرقاء"


def test_embeddings_serve_a_vector_store_of_langchain():
    store = InMemoryVectorStore(SanadEmbeddings(HashEmbedder()))
    store.add_documents([Document(page_content=text) for text in ("red kettle", "green tomatoes", "blue sky")])
    assert store.similarity_search("tomatoes", k=1)[0].page_content == "green tomatoes"


def test_an_index_folder_is_opened_with_the_built_in_models(demo_index):
    (best,) = SanadRetriever(index=demo_index, top_k=1).invoke("What is social commerce?")
    assert "social" in best.metadata["doc_id"]


def test_no_index_is_the_error_of_sanad_not_of_pydantic(tmp_path):
    with pytest.raises(IndexNotFoundError):
        SanadRetriever(index=tmp_path / "nowhere")


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "langchain_core"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "rag.integrations.langchain")
    with pytest.raises(RagError, match=r"Install it: pip install 'sanad\[langchain\]'") as caught:
        import rag.integrations.langchain  # noqa: F401
    assert isinstance(caught.value, ImportError)


def test_nothing_is_sent(index, folder):
    check_nothing_is_sent(f"""
from conftest import HashEmbedder
from rag import Retriever
from rag.integrations.langchain import SanadEmbeddings, SanadRetriever
retriever = Retriever.open({str(folder / "index")!r}, embedder=HashEmbedder())
assert SanadRetriever(index=retriever).invoke("tomatoes")
assert SanadEmbeddings(retriever.embedder).embed_query("tomatoes")
""")


def test_the_how_to_runs_as_written(demo_index, tmp_path):
    printed = run_page("langchain.md", demo_index, tmp_path).splitlines()
    assert {"['ar', 'ar', 'ar', 'ar', 'ar']", "1", "تُسقى الطماطم كل صباح"} <= set(printed)
