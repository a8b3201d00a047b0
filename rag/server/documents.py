"""The HTTP API over the documents: list them, send new ones, take uploaded ones away, see a page, rebuild the index."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import fastapi
from fastapi.responses import JSONResponse, Response, StreamingResponse
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from rag.builder import BuildProgress, BuildReport
from rag.errors import CorpusError, RagError
from rag.server.middleware import UPLOAD_PATH
from rag.server.replies import EVENT_HEADERS, error_body, error_reply, event, rag_error_body
from rag.server.service import ChatService
from rag.server.uploads import UploadError
from rag.views import DocumentRow
from rag.wire import build_json

logger = logging.getLogger(__name__)

PICTURE_PATH = f"{UPLOAD_PATH}/page"
MAX_FILES = 100  # of one request
MAX_PAGE = 100_000
_MAX_FIELD_BYTES = 16 * 1024
_SPOOL_BYTES = 64 * 1024  # of each file in memory, until it is written to disk
_LAST_BYTES = 256  # more than a boundary, which has at most 70 characters, and its dashes
_DAY_S = 86_400

_REMEDIES = {
    "name": "Rename the file and send it again.",
    "folder": "Rename or shorten the folders and send the file again.",
    "type": "Send a file of another type.",
    "empty": "Send a file that holds something.",
    "large": "Split the file and send the parts.",
    "disk": "Free some space on the server, then send the file again.",
    "unknown": "Take a doc_id of the list: GET /api/documents",
    "corpus": "Remove the file from its folder, then build again: POST /api/build",
    "gone": "Build again to have it forgotten: POST /api/build",
}
_STATUS = {"unknown": 404, "gone": 404, "corpus": 403}


def document_json(row: DocumentRow) -> dict[str, Any]:
    """Return one document of the list; ``added`` is ISO 8601 in UTC or null."""
    return {**asdict(row), "added": row.added.isoformat() if row.added else None}


def progress_json(step: BuildProgress) -> dict[str, Any]:
    """Return how far a rebuild is."""
    return asdict(step)


def add_document_routes(app: fastapi.FastAPI, service: ChatService) -> None:
    """Add the routes under ``/api/documents`` and ``/api/build``."""

    @app.get(UPLOAD_PATH)
    def documents() -> dict[str, Any]:
        return {
            "generation": _live_name(service),
            "is_rebuilding": service.is_rebuilding,
            "documents": [document_json(row) for row in service.documents()],
        }

    @app.post(UPLOAD_PATH)
    async def upload(request: fastapi.Request) -> Response:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return _bad_upload("The files were not sent as a form.")
        parser = MultiPartParser(
            request.headers,
            _whole(request),
            max_files=MAX_FILES,
            max_fields=MAX_FILES,
            max_part_size=_MAX_FIELD_BYTES,
        )
        parser.spool_max_size = _SPOOL_BYTES
        try:
            form = await parser.parse()
        except MultiPartException as error:
            return _bad_upload(f"The form cannot be read: {error.message}")
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            files = [file for file in form.getlist("file") if isinstance(file, UploadFile)]
            folders = [folder for folder in form.getlist("folder") if isinstance(folder, str)]
            if not files:
                return _bad_upload("The form holds no file.")
            if len(folders) not in (0, 1, len(files)):
                return _bad_upload(f"The form holds {len(files)} files and {len(folders)} folders.")
            if len(folders) < 2:
                folders = (folders or [""]) * len(files)
            return await run_in_threadpool(_keep, service, files, folders)
        finally:
            await form.close()

    @app.delete(UPLOAD_PATH + "/{doc_id:path}")
    def delete(doc_id: str) -> Response:
        try:
            deleted = service.delete_document(doc_id)
        except UploadError as error:
            return error_reply(_STATUS[error.code], "UploadError", str(error), _REMEDIES[error.code])
        except OSError:
            logger.exception("%s could not be deleted", doc_id)
            return error_reply(507, "UploadError", f"{doc_id} could not be taken away.", "See the server's log.")
        return JSONResponse({"doc_id": deleted.doc_id, "status": "deleted", "is_in_index": deleted.is_in_index})

    @app.get(PICTURE_PATH)
    def page(
        request: fastapi.Request,
        doc_id: str,
        page: Annotated[int, fastapi.Query(ge=1, le=MAX_PAGE)],
        generation: str = "",
    ) -> Response:
        try:
            picture, tag = service.page_picture(doc_id, page)
        except CorpusError as error:
            return error_reply(404, "CorpusError", f"{doc_id}: {error.reason}", "Open the document as text.")
        # The same address shows the same picture for as long as its generation lives, and is asked for again after.
        is_live = generation == _live_name(service)
        headers = {
            "cache-control": f"private, max-age={_DAY_S}" if is_live else "private, no-cache",
            "etag": f'"{tag}"',
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(picture, media_type="image/png", headers=headers)

    @app.post("/api/build")
    def build() -> StreamingResponse:
        events = service.rebuild_stream()
        first = next(events)  # what keeps a rebuild from starting is a status code, not an event
        return StreamingResponse(_build_events(first, events), media_type="text/event-stream", headers=EVENT_HEADERS)

    @app.delete("/api/build")
    def cancel() -> Response:
        if not service.cancel_rebuild():
            return error_reply(409, "NotRebuilding", "No rebuild is under way.", "Start one: POST /api/build")
        return JSONResponse({"status": "cancelling"})


def _live_name(service: ChatService) -> str:
    live = service.generation()
    return live.name if live else ""


class _CutShortError(MultiPartException):
    """The body ended before its form did."""


async def _whole(request: fastapi.Request) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes; at its end, refuse one that was cut off: its last file would be lost in silence."""
    last = b""
    async for piece in request.stream():
        last = (last + piece)[-_LAST_BYTES:]
        yield piece
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if b"--" + boundary + b"--" not in last:
        raise _CutShortError("it ends too early, or is larger than the limit")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file of a request."""

    record: dict[str, str]
    error: dict[str, dict[str, str]] | None = None


def _keep(service: ChatService, files: Sequence[UploadFile], folders: Sequence[str]) -> JSONResponse:
    outcomes = [_keep_one(service, file, folder) for file, folder in zip(files, folders, strict=True)]
    body: dict[str, Any] = {"files": [outcome.record for outcome in outcomes]}
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) < len(outcomes):
        return JSONResponse(body)
    is_disk = all(outcome.record["code"] == "disk" for outcome in outcomes)
    return JSONResponse({**errors[0], **body}, status_code=507 if is_disk else 422)


def _keep_one(service: ChatService, file: UploadFile, folder: str) -> _Outcome:
    name = file.filename or ""
    try:
        saved = service.save_upload(name, file.file, folder)
    except UploadError as error:
        code, message = error.code, str(error)
    except OSError:
        logger.exception("an upload could not be kept")
        code, message = "disk", "The file could not be saved to disk."
    else:
        return _Outcome({"sent": name, "name": saved.name, "status": saved.status, "doc_id": saved.doc_id})
    record = {"sent": name, "name": name, "code": code, "message": message}
    return _Outcome(record, error_body("UploadError", message, _REMEDIES[code]))


def _bad_upload(message: str) -> JSONResponse:
    remedy = f"Send a form (multipart/form-data) with 1 to {MAX_FILES} files as file and, if wanted, their folder."
    return error_reply(422, "BadRequest", message, remedy)


def _build_events(first: BuildProgress | BuildReport, rest: Iterator[BuildProgress | BuildReport]) -> Iterator[str]:
    """Yield server-sent events: ``progress`` as the rebuild advances, then one ``report`` or one ``error``."""
    try:
        step: BuildProgress | BuildReport | None = first
        while step is not None:
            if isinstance(step, BuildReport):
                yield event("report", build_json(step))
            else:
                yield event("progress", progress_json(step))
            step = next(rest, None)
    except RagError as error:
        yield event("error", rag_error_body(error)["error"])
    except Exception:
        logger.exception("the rebuild failed")
        yield event("error", {"message": "The rebuild failed.", "remedy": "See the server's log."})
