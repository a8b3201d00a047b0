"""Train the built-in reader: a question and a passage in, the span that answers out, or that there is none.

    python -m training.reader train  --data DATA --start EMBEDDER --run training/runs/NAME --minutes 40
    python -m training.reader finish --start EMBEDDER --run training/runs/NAME --out FOLDER

A question answering head on the embedder's encoder (Devlin et al. 2019): the probabilities of where the answer starts
and ends, and the first token for "no answer". The word embeddings stay those of the embedder and are not written a
second time: the folder's index points to the embedder's file beside it. So Arabic words stay where the embedder learnt
them, and the package holds them once. It stops after ``--minutes``, keeps its state every ``--every`` minutes, and
goes on from there when started again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoTokenizer

from rag.metrics import exact_match, token_f1
from rag.reader import Reading
from rag.text import whole_words
from training import pairs as make
from training.data import Sources, evaluation_wall
from training.embedder import Masters, load_state, log, save_state, working_type
from training.graph import write_graph
from training.spans import Example, build, translations, written
from training.weights import write_weights

_UNSEEN = "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0670\u200c\u200d\u200e\u200f\u0640 "  # no token


class Reader:
    """The network with its tokenizer.

    Args:
        folder: The embedder to start from.
        device: Where it runs.
    """

    def __init__(self, folder: Path, device: str) -> None:
        kind = "eager" if device == "cpu" else "sdpa"
        self.net = AutoModelForQuestionAnswering.from_pretrained(
            folder, dtype=working_type(device), attn_implementation=kind
        ).to(device)
        self.net.bert.embeddings.word_embeddings.weight.requires_grad_(False)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.device = device
        self.net.eval()  # no dropout: hardly more than one pass over the examples

    def batch(self, examples: list[Example], tokens: int) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Cut examples into tokens.

        Returns:
            The network's input; which tokens may start or end an answer, shape (n, tokens), the first one for "none"
            among them; offsets of tokens, shape (n, tokens, 2); the right start and end tokens, shape (n, 2).
        """
        made = self.tokenizer(
            [e.question for e in examples], [e.context for e in examples], truncation="only_second",
            max_length=tokens, padding=True, return_offsets_mapping=True, return_tensors="pt",
        )  # fmt: skip
        offsets = made.pop("offset_mapping")
        second = torch.tensor([[s == 1 for s in made.sequence_ids(i)] for i in range(len(examples))])
        first, last = offsets[..., 0], offsets[..., 1]
        start = torch.tensor([[e.start] for e in examples])
        end = torch.tensor([[e.end] for e in examples])
        inside = (first < end) & (last > start) & second  # marks at a word's end belong to no token
        starts = inside.float().argmax(1)
        ends = inside.shape[1] - 1 - inside.flip(1).float().argmax(1)
        seen = last.masked_fill(~second, 0).amax(1)
        visible = torch.tensor([e.start + len(e.answer.rstrip(_UNSEEN)) for e in examples])
        none = ~inside.any(1) | (seen < visible)  # the answer, or its end, lies beyond the window
        places = torch.stack([starts, ends], 1).masked_fill(none[:, None], 0)
        allowed = second.clone()
        allowed[:, 0] = True
        inputs = {name: value.to(self.device) for name, value in made.items()}
        return inputs, allowed.to(self.device), offsets, places.to(self.device)

    def logits(self, inputs: dict[str, Tensor], allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of start and end, float32, shape (n, tokens); -1e4 where none may be."""
        out = self.net(**inputs)
        closed = ~allowed
        return out.start_logits.float().masked_fill(closed, -1e4), out.end_logits.float().masked_fill(closed, -1e4)

    @torch.no_grad()
    def answers(self, examples: list[Example], tokens: int = 384, batch: int = 24) -> list[str]:
        """Return the best span's text for each example."""
        found = [""] * len(examples)
        order = sorted(range(len(examples)), key=lambda i: len(examples[i].context))
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            inputs, allowed, offsets, _ = self.batch([examples[i] for i in rows], tokens)
            starts, ends = (logits.cpu().numpy() for logits in self.logits(inputs, allowed))
            for n, i in enumerate(rows):
                inside = allowed[n].cpu().numpy()
                inside[0] = False
                reading = Reading(
                    offsets[n].numpy()[inside], starts[n][inside] - starts[n, 0], ends[n][inside] - ends[n, 0]
                )
                if best := reading.best():
                    found[i] = examples[i].context[slice(*whole_words(examples[i].context, best.start, best.end))]
        return found


def measure(reader: Reader, examples: list[Example]) -> dict[str, float]:
    """Return F1 and exact match of the best spans, by language of the set, in percent."""
    scores: dict[str, list[float]] = defaultdict(list)
    for example, text in zip(examples, reader.answers(examples), strict=True):
        language = example.source.split(".")[1]
        scores[f"{language} F1"].append(token_f1(text, example.answer))
        scores[f"{language} EM"].append(exact_match(text, example.answer))
    return {name: round(100 * float(np.mean(values)), 2) for name, values in sorted(scores.items())}


def cut_batches(examples: list[Example], size: int, rng: np.random.Generator) -> list[list[Example]]:
    """Cut examples into batches of about one length: pools of 24 batches are sorted, cut and shuffled."""
    batches = []
    for at in range(0, len(examples), 24 * size):
        pool = sorted(examples[at : at + 24 * size], key=lambda e: len(e.context) + len(e.question))
        cut = [pool[i : i + size] for i in range(0, len(pool), size)]
        batches += [cut[int(i)] for i in rng.permutation(len(cut)) if len(cut[int(i)]) > size // 2]
    return batches


def train(args: argparse.Namespace) -> None:
    """Train until the steps or the minutes are used up."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    sources = Sources(args.data)
    held = make.build_dev(sources, make.DEV_SEED)
    wall = evaluation_wall(args.data, held.texts())
    questions = frozenset(query for queries, _, _ in held.pools.values() for query in queries)
    examples, dev, counts = build(
        sources, wall, questions, written(sources) + translations(sources), args.seed,
        limit=args.limit, words=args.words, copies=args.copies,
    )  # fmt: skip
    batches = cut_batches(examples, args.batch, np.random.default_rng(args.seed))
    log(args, f"{len(examples)} examples, {len(batches)} batches: {counts}; held out {len(dev)}")
    facts = {
        "flags": {k: v for k, v in vars(args).items() if k not in ("data", "start", "run") and not callable(v)},
        "start": args.start.name,
        "examples": counts,
        "held_out": len(dev),
        "torch": torch.__version__,
        "data_sha256": dict(sorted(sources.hashes.items())),
        "licences": dict(sorted(sources.licences.items())),
    }
    reader = Reader(args.start, args.device)
    masters = Masters(reader.net, args.lr, args.lr)
    progress = load_state(args.run, masters)
    step, curve = int(progress["step"]), progress["curve"]
    began, saved, losses, tokens = time.monotonic() - progress["elapsed"], time.monotonic(), [], 0
    while True:
        elapsed = time.monotonic() - began
        done = max(step / args.steps, elapsed / (args.minutes * 60))
        if done < 1:
            rate = args.lr * min(1.0, (step + 1) / args.warmup) * (1 - done)
            for group in masters.optimizer.param_groups:
                group["lr"] = rate
            inputs, allowed, _, places = reader.batch(batches[step % len(batches)], args.tokens)
            starts, ends = reader.logits(inputs, allowed)
            loss = (F.cross_entropy(starts, places[:, 0]) + F.cross_entropy(ends, places[:, 1])) / 2
            loss.backward()
            masters.step()
            step += 1
            losses.append(loss.item())
            tokens += inputs["input_ids"].numel()
        if step % 50 == 0 or done >= 1:
            speed = tokens / max(elapsed - progress["elapsed"], 1)
            log(args, f"step {step} {elapsed / 60:.1f} min, {speed:.0f} tokens/s, loss {np.mean(losses[-100:]):.3f}")
        if done >= 1 or time.monotonic() - saved > args.every * 60:
            curve.append({"step": step, "minutes": round(elapsed / 60, 1), **measure(reader, dev)})
            log(args, json.dumps(curve[-1]))
            save_state(args.run, masters, {"step": step, "elapsed": time.monotonic() - began, "curve": curve})
            save_file(masters.state(reader.net), args.run / "reader.safetensors", metadata={"format": "pt"})
            text = json.dumps(facts | {"curve": curve}, indent=1, ensure_ascii=False)
            (args.run / "meta.json").write_text(text + "\n", encoding="utf-8")
            saved = time.monotonic()
        if done >= 1:
            return


def finish(args: argparse.Namespace) -> None:
    """Write the model folder; it reads the word embeddings from the embedder's folder beside it."""
    args.out.mkdir(parents=True, exist_ok=True)
    state = load_file(args.run / "reader.safetensors")
    write_weights(args.out, state, own="reader.safetensors", words=f"../{args.start.name}/words.safetensors")
    meta = json.loads((args.run / "meta.json").read_text("utf-8"))
    meta["words_sha256"] = hashlib.sha256((args.start / "words.safetensors").read_bytes()).hexdigest()
    (args.out / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    config: Any = AutoConfig.from_pretrained(args.start)
    config.architectures = ["BertForQuestionAnswering"]
    config.save_pretrained(args.out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(args.start / name, args.out / name)
    AutoModelForQuestionAnswering.from_pretrained(args.out)  # what is missing in the files is said here
    write_graph(args.out)


def main(argv: list[str] | None = None) -> int:
    """Run ``train`` or ``finish``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--start", type=Path, required=True, help="the embedder's folder")
    both.add_argument("--run", type=Path, required=True, help="state, log.txt and meta.json go here")
    one = commands.add_parser("train", parents=[both], help="train, or go on training")
    one.add_argument("--data", type=Path, required=True, help="the data folder: qa_train, parallel, prose, eval")
    one.add_argument("--device", default="cpu", help="cpu or cuda")
    one.add_argument("--threads", type=int, default=2, help="CPU threads")
    one.add_argument("--minutes", type=float, default=40, help="wall-clock limit; the rate falls to 0 over it")
    one.add_argument("--steps", type=int, default=6000, help="limit on steps; the rate falls to 0 over it")
    one.add_argument("--every", type=float, default=15, help="minutes between evaluations")
    one.add_argument("--seed", type=int, default=20261122, help="examples and their order")
    one.add_argument("--batch", type=int, default=32, help="examples a step")
    one.add_argument("--tokens", type=int, default=224, help="longest question and context in training")
    one.add_argument("--words", type=int, default=110, help="longest context in training, in words")
    one.add_argument("--limit", type=int, default=20000, help="silver examples, and glossed ones, at most")
    one.add_argument("--copies", type=int, default=5, help="times that human Arabic examples are seen")
    one.add_argument("--lr", type=float, default=1.5e-4, help="peak rate")
    one.add_argument("--warmup", type=int, default=100, help="steps of warm-up")
    one.set_defaults(go=train)
    two = commands.add_parser("finish", parents=[both], help="write the model folder")
    two.add_argument("--out", type=Path, required=True, help="the folder to write, beside the embedder's")
    two.set_defaults(go=finish)
    args = parser.parse_args(argv)
    args.go(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
