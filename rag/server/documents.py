"""The HTTP API over the documents: list them, send new ones, take uploaded ones away, see a page, rebuild the index."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import quote

import anyio
import anyio.to_thread
import fastapi
from anyio.lowlevel import RunVar
from fastapi.responses import JSONResponse, Response, StreamingResponse
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from rag.builder import BuildReport
from rag.engine import BuildProgress
from rag.errors import CorpusError, RagError
from rag.server.paths import PICTURE_PATH, UPLOAD_PATH
from rag.server.pictures import AT_ONCE
from rag.server.problems import error_body, problem, rag_error_body
from rag.server.replies import EVENT_HEADERS, event, events_of, problems
from rag.server.schemas import (
    BuildReply,
    CancelReply,
    DeletedReply,
    DocumentsReply,
    ErrorObject,
    ProgressReply,
    UploadReply,
)
from rag.server.service import ChatService
from rag.server.uploads import UploadError
from rag.views import DocumentRow
from rag.wire import build_json

logger = logging.getLogger(__name__)

BUILD_PATH = "/api/build"
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
_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "minItems": 1,
                        "maxItems": MAX_FILES,
                    },
                    "folder": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Where it goes below the upload folder: one for all files, or one for each.",
                    },
                },
            }
        }
    },
}
_STATUS = {"unknown": 404, "gone": 404, "corpus": 403}
# Pictures have threads of their own: those that wait for their turn would hold all that other requests share.
_picture_threads: RunVar[anyio.CapacityLimiter] = RunVar("picture_threads")


def document_json(row: DocumentRow) -> dict[str, Any]:
    """Return one document of the list; ``added`` is ISO 8601 in UTC or null."""
    return {**asdict(row), "added": row.added.isoformat() if row.added else None}


def progress_json(step: BuildProgress) -> dict[str, Any]:
    """Return how far a rebuild is."""
    return asdict(step)


def add_document_routes(app: fastapi.FastAPI, service: ChatService) -> None:
    """Add the routes under ``/api/documents`` and ``/api/build``."""

    @app.get(
        UPLOAD_PATH,
        tags=["documents"],
        summary="List the documents",
        response_model=None,
        responses={200: {"model": DocumentsReply}, **problems(503)},
    )
    def documents() -> dict[str, Any]:
        """Return the documents of the live index and of the folders side by side, by `doc_id`."""
        return {
            "generation": _live_name(service),
            "is_rebuilding": service.is_rebuilding,
            "documents": [document_json(row) for row in service.documents()],
        }

    @app.post(
        UPLOAD_PATH,
        tags=["documents"],
        summary="Send documents",
        response_model=None,
        responses={200: {"model": UploadReply}, **problems(400, 413, 422, 507)},
        openapi_extra={"requestBody": _FORM},
    )
    async def upload(request: fastapi.Request) -> Response:
        """Keep files for the next build; 200 says of each what became of it, as long as one was kept."""
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

    @app.delete(
        UPLOAD_PATH + "/{doc_id:path}",
        tags=["documents"],
        summary="Take an uploaded document away",
        response_model=None,
        responses={200: {"model": DeletedReply}, **problems(404, 503, 507)},
    )
    def delete(doc_id: str) -> Response:
        """Move an uploaded document to the trash of the upload folder; the next build forgets it."""
        try:
            deleted = service.delete_document(doc_id)
        except UploadError as error:
            return problem(
                f"{UPLOAD_PATH}/{quote(doc_id)}", _STATUS[error.code], "UploadError", str(error), _REMEDIES[error.code]
            )
        except OSError:
            logger.exception("%s could not be deleted", doc_id)
            said = f"{doc_id} could not be taken away."
            return problem(f"{UPLOAD_PATH}/{quote(doc_id)}", 507, "UploadError", said, "See the server's log.")
        return JSONResponse({"doc_id": deleted.doc_id, "status": "deleted", "is_in_index": deleted.is_in_index})

    @app.get(
        PICTURE_PATH,
        tags=["documents"],
        summary="Show a page of a PDF",
        response_class=Response,
        responses={
            200: {
                "description": "A picture",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            },
            304: {"description": "The picture is the one whose `ETag` was sent as `If-None-Match`."},
            **problems(404, 422, 503),
        },
    )
    async def page(
        request: fastapi.Request,
        doc_id: str,
        page: Annotated[int, fastapi.Query(ge=1, le=MAX_PAGE)],
        generation: str = "",
    ) -> Response:
        """Return a page as it was indexed, as PNG; with the live `generation` it may be kept for a day."""
        try:
            picture, tag = await anyio.to_thread.run_sync(service.page_picture, doc_id, page, limiter=_own_threads())
        except CorpusError as error:
            said = f"{doc_id}: {error.reason}"
            return problem(PICTURE_PATH, 404, "CorpusError", said, "Open the document as text.")
        # The same address shows the same picture for as long as its generation lives, and is asked for again after.
        is_live = generation == await run_in_threadpool(_live_name, service)
        headers = {
            "cache-control": f"private, max-age={_DAY_S}" if is_live else "private, no-cache",
            "etag": f'"{tag}"',
        }
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(picture, media_type="image/png", headers=headers)

    @app.post(
        BUILD_PATH,
        tags=["documents"],
        summary="Bring the index up to date",
        response_model=None,
        responses={
            200: {
                "description": "Progress, then the report",
                "content": events_of(progress=ProgressReply, report=BuildReply, error=ErrorObject),
            },
            **problems(409, 503),
        },
    )
    def build() -> StreamingResponse:
        """Read what changed in the folders; questions are answered from the old index until the new one is live.

        Sends `progress` events, then one `report` or one `error`. Whoever stops listening does not stop it.
        """
        events = service.rebuild_stream()
        first = next(events)  # what keeps a rebuild from starting is a status code, not an event
        return StreamingResponse(_build_events(first, events), media_type="text/event-stream", headers=EVENT_HEADERS)

    @app.delete(
        BUILD_PATH,
        tags=["documents"],
        summary="Cancel the build",
        response_model=None,
        responses={200: {"model": CancelReply}, **problems(409)},
    )
    def cancel() -> Response:
        """Have the build that is under way end at its next step; the index stays as it is."""
        if not service.cancel_rebuild():
            return problem(BUILD_PATH, 409, "NotRebuilding", "No rebuild is under way.", "Start one: POST /api/build")
        return JSONResponse({"status": "cancelling"})


def _live_name(service: ChatService) -> str:
    live = service.generation()
    return live.name if live else ""


def _own_threads() -> anyio.CapacityLimiter:
    """Return the limiter of the threads for pictures, which belongs to the event loop."""
    try:
        return _picture_threads.get()
    except LookupError:
        _picture_threads.set(limiter := anyio.CapacityLimiter(AT_ONCE))
        return limiter


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
        raise _CutShortError("it ends too early")


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
    first = errors[0]["error"]
    return problem(UPLOAD_PATH, 507 if is_disk else 422, first["type"], first["message"], first["remedy"], more=body)


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
    return problem(UPLOAD_PATH, 422, "BadRequest", message, remedy)


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
