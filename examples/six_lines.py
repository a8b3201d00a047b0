"""Index a folder and search it. Run it where there is a folder ``corpus``: ``python six_lines.py``."""

from rag import Retriever, build_index

build_index("corpus", "index")
retriever = Retriever.open("index")
for hit in retriever.search("What is social commerce?", top_k=3):
    print(hit.rank, hit.passage.doc_id, hit.passage.text[:60].replace("\n", " "))
