"""Sanad inside other frameworks: `langchain`, `llama_index`, `haystack`, a module each.

Nothing here is imported by the rest of the package; each module needs its framework, which the extra of the same
name brings: ``pip install 'sanad[langchain]'``, ``'sanad[llama-index]'``, ``'sanad[haystack]'``.
"""
