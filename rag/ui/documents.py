"""The documents as HTML: the list, what became of uploads, how far a rebuild is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import accumulate
from typing import Any

from rag.builder import BuildReport
from rag.engine import BuildProgress
from rag.ui.markup import button, file_name, place, sanitize
from rag.ui.words import language_words, words
from rag.views import DocumentRow

_COLUMNS = ("title", "language", "type", "passages", "size", "added", "state", "actions")
_SURE_AFTER_S = 2.0  # of a stage, before its rate says anything


def render_documents(rows: Sequence[DocumentRow]) -> str:
    """Return the list of documents; each opens in the source panel."""
    if not rows:
        return sanitize(f'<p class="empty">{words("documents_none")}</p>')
    head = "".join(f'<th scope="col">{words(key)}</th>' for key in _COLUMNS)
    count = words("documents_count", documents=len(rows), passages=sum(row.passages for row in rows))
    pending = sum(row.state in ("waiting", "changed", "gone") for row in rows)
    hint = f'<p class="pending">{words("documents_pending", number=pending)}</p>' if pending else ""
    return sanitize(
        f'<p class="count">{count}</p>{hint}<table class="documents"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(map(_row, rows))}</tbody></table>"
    )


def _row(row: DocumentRow) -> str:
    name = f'<bdi class="name" dir="auto">{escape(row.title)}</bdi>{file_name(row.doc_id)}'
    title = f'<span class="open">{name}</span>'
    if row.is_in_index:
        title = f'<button type="button" class="open" {place(row.doc_id, 0, 0, "")}>{name}</button>'
    added = "–"
    if row.added is not None:
        added = f'<bdi dir="ltr" data-added="{row.added.isoformat()}">{row.added:%Y-%m-%d}</bdi>'
    reason = f'<p class="reason" dir="auto">{escape(row.error)}</p>' if row.error else ""
    acts = button("only", "only_this", name="only", value=row.doc_id) if row.is_in_index else ""
    if row.is_deletable:
        acts += button("delete", "delete", name="delete", value=row.doc_id)
    cells = (
        title,
        language_words(row.language) if row.is_in_index else "–",
        f'<bdi class="kind">{escape(row.kind)}</bdi>',
        f"<bdi>{row.passages}</bdi>" if row.is_in_index else "–",
        f'<span data-bytes="{row.bytes}">{_size(row.bytes)}</span>' if row.added else "–",
        added,
        f'<span class="state">{words(f"state_{row.state}")}</span>{reason}',
        acts,
    )
    body = "".join(f'<td class="{name}">{cell}</td>' for name, cell in zip(_COLUMNS, cells, strict=True))
    return f'<tr class="{row.state}" data-doc="{escape(row.doc_id)}">{body}</tr>'


def _size(count: int) -> str:
    if count < 1024:
        return words("size_bytes", number=count)
    key, number = ("size_kb", count / 1024) if count < 1024 * 1024 else ("size_mb", count / (1024 * 1024))
    return words(key, number=f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:,.0f}")


def scope_choices(rows: Sequence[DocumentRow]) -> dict[str, list[dict[str, Any]]]:
    """Return what a question can be limited to, as plain values.

    Returns:
        ``collections``, ``{"name", "documents"}`` of every folder that holds documents, itself or below it, by name;
        ``languages``, ``{"language", "documents"}``, the one of most documents first. Only documents that answer
        now are counted.
    """
    answering = [row for row in rows if row.is_in_index]
    folders: Counter[str] = Counter()
    for row in answering:
        parts = row.doc_id.split("/")[:-1]
        folders.update(accumulate(parts, lambda outer, inner: f"{outer}/{inner}"))
    languages = Counter(row.language for row in answering)
    return {
        "collections": [{"name": name, "documents": count} for name, count in sorted(folders.items())],
        "languages": [
            {"language": language, "documents": count}
            for language, count in sorted(languages.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def render_progress(event: BuildProgress | None, seconds: float = 0.0) -> str:
    """Return how far a rebuild is, how fast it goes and how long this stage will take, with a button to end it.

    Args:
        event: The last that was heard of it; None where it has only just been asked for.
        seconds: How long the event's stage has been under way.
    """
    cancel = button("cancel", "cancel_rebuild", name="cancel")
    if event is None:
        return sanitize(f'<div class="progress"><p>{words("stage_start")}</p><progress></progress>{cancel}</div>')
    trail = [words("done_of", done=event.done, total=event.total)] if event.total else []
    trail += [said for said in (_rate(event, seconds), _time_left(event, seconds)) if said]
    said = "".join(f'<span class="trail">{part}</span>' for part in trail)
    bar = f'<progress value="{event.done}" max="{event.total}"></progress>' if event.total else "<progress></progress>"
    item = file_name(event.item) if event.item else ""
    return sanitize(f'<div class="progress"><p>{words(f"stage_{event.stage}")}{said}</p>{bar}{item}{cancel}</div>')


def _is_known(event: BuildProgress, seconds: float) -> bool:
    """Return whether what was done so far tells how fast a stage goes."""
    return seconds >= _SURE_AFTER_S and 0 < event.done < event.total


def _rate(event: BuildProgress, seconds: float) -> str:
    """Return how fast a stage goes; empty where that cannot be told, or would say nothing to a reader."""
    if event.stage not in ("load", "embed") or not _is_known(event, seconds):
        return ""
    rate = event.done / seconds
    key = f"rate_{event.stage}"
    if rate < 1:
        key, rate = f"{key}_min", 60 * rate
    return words(key, rate=f"{rate:.1f}".removesuffix(".0") if rate < 10 else f"{rate:.0f}")


def _time_left(event: BuildProgress, seconds: float) -> str:
    """Return in words how long a stage will take from now, if it goes on as it has; empty where that is unknown."""
    if not _is_known(event, seconds):
        return ""
    left = (event.total - event.done) * seconds / event.done
    if left < 10:
        return words("left_moments")
    if left < 60:
        return words("left_under_minute")
    unit, number = ("minutes", int(left / 60 + 0.5)) if left < 90 * 60 else ("hours", int(left / 3600 + 0.5))
    return words(f"left_{unit}_{_arabic_plural(number)}", number=number)


def _arabic_plural(number: int) -> str:
    """Return which form a counted Arabic noun takes: of one, of two, of a few (3 to 10) or of many."""
    if number in (1, 2):
        return ("one", "two")[number - 1]
    return "few" if 3 <= number % 100 <= 10 else "many"


def render_report(report: BuildReport) -> str:
    """Return what a rebuild did, and each file it could not read with the reason."""
    done = words(
        "report",
        seconds=f"{report.seconds:.1f}",
        added=report.added,
        updated=report.updated,
        removed=report.removed,
        unchanged=report.unchanged,
    )
    failed = "".join(
        f'<li>{file_name(file.path)} <span dir="auto">{escape(file.reason)}</span></li>' for file in report.failed
    )
    trouble = f'<div class="trouble"><p>{words("failed")}</p><ul>{failed}</ul></div>' if failed else ""
    return sanitize(f'<div class="report"><p>{done}</p>{trouble}</div>')


def render_uploads(results: Sequence[tuple[str, str]]) -> str:
    """Return what became of each uploaded file, from ``(name, key of WORDS)``."""
    rows = "".join(f'<li class="{escape(key)}">{file_name(name)} {words(key)}</li>' for name, key in results)
    return sanitize(f'<ul class="uploads">{rows}</ul>')
