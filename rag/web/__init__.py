"""Pages of the web become files of a corpus: politely, from public addresses only, and kept up to date.

Nothing is imported here: a build asks `rag.web.shelf` where pages came from and needs no HTTP client for that.
"""
