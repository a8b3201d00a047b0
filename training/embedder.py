"""Train the built-in embedder: Arabic and English in one space, questions near the passages that answer them.

    python -m training.embedder train --data DATA --start WEIGHTS --teacher MINILM --run training/runs/NAME
    python -m training.embedder finish --data DATA --start WEIGHTS --run training/runs/NAME --out FOLDER

``train`` mixes five tasks, one a step: Arabic wiki (silver questions and removed sentences against their section),
human Arabic questions, English questions, queries against a passage in the other language (all symmetric in-batch
cross-entropy, Henderson et al. 2017, scale 20), and translations (distance of the Arabic vector to the teacher's
vector of the English line, Reimers & Gurevych 2020, plus the same cross-entropy). English vectors are held near the
teacher's throughout. It stops after ``--minutes``, keeps a checkpoint at each evaluation, and goes on from the last
one when started again. ``finish`` averages checkpoints, mixes them with the starting weights, picks by the
development set and writes a sentence-transformers folder in float16. It runs on a CPU (bfloat16 where the chip has
it) or, with ``--device cuda``, on a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from training import pairs as make
from training.data import Pair, Sources, evaluation_wall, read_jsonl
from training.graph import write_graph
from training.weights import read_weights, write_weights

OLD_ROWS = 30522  # the English rows of the vocabulary come first; the Arabic rows follow
TASKS = ("ar_wiki", "ar_real", "cross", "parallel", "en_qa", "other", "ours")


class Masters:
    """Float32 copies of a model's weights, which the optimizer moves; the model itself may stay bfloat16.

    Small steps would be lost in bfloat16. The word embeddings have two copies, so that the rows after the first
    ``OLD_ROWS`` can learn faster than the English ones (Micikevicius et al. 2018, mixed precision training).

    Args:
        module: The model; each of its parameters that take a gradient gets a copy.
        rate: Learning rate of all but the new rows.
        rate_rows: Learning rate of the new rows.
    """

    def __init__(self, module: nn.Module, rate: float, rate_rows: float) -> None:
        self.parts: list[tuple[nn.Parameter, slice, nn.Parameter]] = []
        rest, rows = [], []
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            cuts = [slice(None)]
            if name.endswith("word_embeddings.weight"):
                cuts = [slice(None, OLD_ROWS), slice(OLD_ROWS, None)]
            for cut in cuts:
                master = nn.Parameter(param.data[cut].float().clone())
                self.parts.append((param, cut, master))
                (rows if cut.start else rest).append(master)
        groups = [{"params": rest, "lr": rate}, {"params": rows, "lr": rate_rows}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98), fused=True)

    def step(self, max_norm: float = 1.0) -> None:
        """Move the copies along the gradients, clipped to a norm, and round them into the model."""
        for param, cut, master in self.parts:
            master.grad = torch.zeros_like(master) if param.grad is None else param.grad[cut].float()
        nn.utils.clip_grad_norm_([master for _, _, master in self.parts], max_norm)
        self.optimizer.step()
        self.copy()
        for param, _, master in self.parts:
            param.grad = master.grad = None

    def state(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the weights under the module's names in float16, from the copies and not from bfloat16."""
        names = {id(param): name for name, param in module.named_parameters()}
        found: dict[str, list[Tensor]] = defaultdict(list)
        for param, _, master in self.parts:
            found[names[id(param)]].append(master.detach().half().cpu())
        return {name: torch.cat(parts).contiguous() for name, parts in found.items()}

    @torch.no_grad()
    def copy(self) -> None:
        """Round the copies into the model."""
        for param, cut, master in self.parts:
            param[cut].copy_(master)


def working_type(device: str) -> torch.dtype:
    """Return bfloat16 where the chip computes in it, else float32: emulated, it is fifty times slower."""
    has_bfloat16 = device != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if has_bfloat16 else torch.float32


class Encoder(nn.Module):
    """A BERT with mean pooling and unit length.

    Args:
        folder: A sentence-transformers folder with its transformer at the top.
        device: Where it runs.
    """

    def __init__(self, folder: Path, device: str) -> None:
        super().__init__()
        kind = "eager" if device == "cpu" else "sdpa"  # the fused one is slow backward on a CPU
        self.bert = AutoModel.from_pretrained(folder, dtype=working_type(device), attn_implementation=kind).to(device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.device = device
        self.eval()  # no dropout: less than one pass over the data leaves nothing to regularise

    def forward(self, texts: list[str], max_tokens: int) -> Tensor:
        """Return unit vectors, shape (n, dim), float32."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
        ids, mask = batch["input_ids"].to(self.device), batch["attention_mask"].to(self.device)
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        return F.normalize((hidden.float() * weights).sum(1) / weights.sum(1), dim=-1)

    def load_whole(self, state: dict[str, Tensor]) -> None:
        """Take weights under their usual names, in any precision."""
        self.bert.load_state_dict(state, strict=False)

    @torch.no_grad()
    def encode(self, texts: list[str], max_tokens: int = 256, batch: int = 32) -> Tensor:
        """Return unit vectors of many texts, in their order, on the CPU."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = torch.empty(len(texts), self.bert.config.hidden_size)
        for i in range(0, len(order), batch):
            rows = order[i : i + batch]
            out[rows] = self([texts[row] for row in rows], max_tokens).cpu()
        return out


# -------------------------------------------------------------------------------------------- measuring


def retrieval(model: Encoder, queries: list[str], passages: list[str], right: list[int]) -> dict[str, float]:
    """Return R@1 and nDCG@10 with one right passage a query; a tie counts against the right one."""
    scores = model.encode(queries) @ model.encode(passages).T
    truth = torch.tensor(right)
    own = scores.gather(1, truth[:, None])
    rank = (scores >= own).sum(1)  # 1-based; an equal score of another passage comes first
    gain = torch.where(rank <= 10, 1 / torch.log2(rank.float() + 1), torch.zeros(len(right)))
    return {"R@1": round((rank == 1).float().mean().item(), 4), "nDCG@10": round(gain.mean().item(), 4)}


def measure_dev(model: Encoder, dev: make.Dev) -> dict[str, float]:
    """Return R@1 of each language pair of the development set, and ``score``: the mean over the pairs with Arabic."""
    scores = {name: retrieval(model, *pool)["R@1"] for name, pool in dev.pools.items()}
    scores["score"] = round(float(np.mean([scores[n] for n in ("ar-ar", "ar-en", "en-ar")])), 4)
    return scores


def measure_xquad(model: Encoder, data: Path, pairs: tuple[str, ...] = ("en-en", "ar-ar", "en-ar", "ar-en")) -> Any:
    """Return R@1 and nDCG@10 on XQuAD (1,190 questions over 240 paragraphs, window 256) by language pair."""
    sides = {}
    for lang in ("ar", "en"):
        contexts = list(read_jsonl(data / "eval" / f"xquad.{lang}.test.contexts.jsonl.zst"))
        rows = {context["context_id"]: i for i, context in enumerate(contexts)}
        questions = list(read_jsonl(data / "eval" / f"xquad.{lang}.test.jsonl.zst"))
        right = [rows[question["context_id"]] for question in questions]
        sides[lang] = ([q["question"] for q in questions], [c["text"] for c in contexts], right)
    out = {}
    for pair in pairs:
        asked, read = pair.split("-")
        out[pair] = retrieval(model, sides[asked][0], sides[read][1], sides[asked][2])
    return out


# --------------------------------------------------------------------------------------------- batches


def make_batches(pairs: list[Pair], size: int, rng: np.random.Generator) -> list[list[Pair]]:
    """Cut pairs into batches of about one length; neighbours of one article stay together.

    Pools of 16 batches are sorted by passage length, in units of neighbours of one article, then cut and shuffled.
    """
    units: list[list[Pair]] = []
    for pair in pairs:
        article = pair.group.split("#")[0]
        if units and len(units[-1]) < 4 and units[-1][0].group.split("#")[0] == article:
            units[-1].append(pair)
        else:
            units.append([pair])
    batches = []
    pool: list[list[Pair]] = []
    for number, unit in enumerate(units):
        pool.append(unit)
        if sum(map(len, pool)) >= 16 * size or number == len(units) - 1:
            pool.sort(key=lambda u: sum(len(p.passage) for p in u) / len(u))
            flat = [pair for unit in pool for pair in unit]
            cut = [flat[i : i + size] for i in range(0, len(flat), size)]
            batches += [cut[int(i)] for i in rng.permutation(len(cut)) if len(cut[int(i)]) >= size // 2]
            pool = []
    return batches


def build(args: argparse.Namespace) -> tuple[dict[str, list[list[Pair]]], make.Dev, dict[str, Any]]:
    """Make the pairs, drop what touches evaluation text, assert that nothing is left of it, and cut batches.

    Returns:
        ``(batches by task, development set, facts for meta.json)``.
    """
    sources = Sources(args.data)
    dev = make.build_dev(sources, args.seed)
    rng = np.random.default_rng(args.seed)
    limit = args.limit
    translations, crossed = make.parallel(sources, rng)
    by_task = {
        "ar_wiki": make.arabic_wiki(sources, rng, limit),
        "ar_real": make.arabic_real(sources, rng, args.copies),
        "cross": crossed,
        "parallel": translations,
        "en_qa": make.english_qa(sources, rng),
    }
    by_task["other"] = make.other_languages(sources, rng)
    by_task["ours"] = make.ours(sources, rng, args.copies)
    wall = evaluation_wall(args.data, dev.texts())
    glosses, glossed = make.glossed(wall.keep_clean(by_task["en_qa"][:limit])[0], sources, rng)
    by_task["cross"] = make.shuffled_runs(crossed + glossed, rng)
    by_task["parallel"] = make.shuffled(glosses + translations, rng)
    batches, counts, dropped = {}, {}, Counter[str]()
    for task, found in by_task.items():
        kept, lost = wall.keep_clean(found[:limit])
        dropped += lost
        counts[task] = wall.assert_clean(kept)
        batches[task] = make_batches(kept, args.batch * (2 if task in ("parallel", "other") else 1), rng)
    facts = {
        "pairs": counts,
        "dropped_by_wall": dict(dropped),
        "wall_texts": len(wall),
        "dev_questions": {name: len(pool[0]) for name, pool in dev.pools.items()},
        "data_sha256": dict(sorted(sources.hashes.items())),
        "licences": dict(sorted(sources.licences.items())),
    }
    return batches, dev, facts


# -------------------------------------------------------------------------------------------- training


def contrast(query: Tensor, passage: Tensor, groups: list[str], scale: float) -> Tensor:
    """Symmetric in-batch cross-entropy; other pairs of a pair's own group are no negatives."""
    names = np.array(groups)
    same = torch.from_numpy((names[:, None] == names[None, :]) & ~np.eye(len(names), dtype=bool)).to(query.device)
    logits = (query @ passage.T * scale).masked_fill(same, -1e4)
    target = torch.arange(len(groups), device=query.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def step_loss(model: Encoder, teacher: Encoder, batch: list[Pair], args: argparse.Namespace) -> Tensor:
    """Return the loss of one batch, all of one task."""
    queries, passages = [p.query for p in batch], [p.passage for p in batch]
    groups = [p.group for p in batch]
    if batch[0].task in ("parallel", "other"):  # the query is the English line, the passage its translation
        with torch.no_grad():
            target = teacher(queries, args.tokens)
        out = model(passages, args.tokens)
        return args.distil * (out - target).pow(2).sum(-1).mean() + contrast(target, out, groups, args.scale)
    asked, read = model(queries, 48), model(passages, args.tokens)
    loss = contrast(asked, read, groups, args.scale)
    for side, texts, lang in ((asked, queries, 0), (read, passages, 1)):
        english = [i for i, p in enumerate(batch) if p.languages.split("-")[lang] == "en"]
        if english:
            with torch.no_grad():
                target = teacher([texts[i] for i in english], args.tokens if lang else 48)
            loss = loss + args.anchor * (side[english] - target).pow(2).sum(-1).mean() * len(english) / len(batch)
    return loss


def save_state(run: Path, masters: Masters, facts: dict[str, Any]) -> None:
    """Write weights, optimizer moments and progress, each whole or not at all."""
    tensors = {f"master.{i}": master.detach().cpu() for i, (_, _, master) in enumerate(masters.parts)}
    for number, moments in masters.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v.cpu().contiguous() for k, v in moments.items()}
    save_file(tensors, run / "state.tmp")
    (run / "state.tmp").replace(run / "state.safetensors")
    (run / "progress.tmp").write_text(json.dumps(facts))
    (run / "progress.tmp").replace(run / "progress.json")


def load_state(run: Path, masters: Masters) -> dict[str, Any]:
    """Read what ``save_state`` wrote; an empty progress if nothing is there."""
    if not (run / "progress.json").exists():
        return {"step": 0, "elapsed": 0.0, "curve": []}
    tensors = load_file(run / "state.safetensors")
    moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            moments[int(number)][key] = value
    for i, (_, _, master) in enumerate(masters.parts):
        master.data.copy_(tensors[f"master.{i}"])
    masters.copy()
    groups = masters.optimizer.state_dict()["param_groups"]
    masters.optimizer.load_state_dict({"state": dict(moments), "param_groups": groups})
    progress: dict[str, Any] = json.loads((run / "progress.json").read_text())
    return progress


def train(args: argparse.Namespace) -> None:
    """Train until the steps or the minutes are used up."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.run.mkdir(parents=True, exist_ok=True)
    batches, dev, facts = build(args)
    log(args, f"pairs {facts['pairs']}, dropped by the wall {facts['dropped_by_wall']}")
    model, teacher = Encoder(args.start, args.device), Encoder(args.teacher or args.start, args.device)
    teacher.requires_grad_(False)
    model.bert.embeddings.word_embeddings.weight.requires_grad_(not args.keep_words)
    masters = Masters(model.bert, args.lr, args.lr_rows)
    peaks = [args.lr, args.lr_rows]
    progress = load_state(args.run, masters)
    step, curve, used = int(progress["step"]), progress["curve"], Counter[str](progress.get("used", {}))
    write_meta(args, facts, curve)
    began, last_eval = time.monotonic() - progress["elapsed"], 0.0
    if not curve:
        curve.append({"step": 0, "minutes": 0.0, **measure_dev(model, dev)})
        log(args, json.dumps(curve[-1]))
        began = time.monotonic()
    last_eval, losses, tokens = time.monotonic(), defaultdict(list), 0
    while True:
        elapsed = time.monotonic() - began
        done = max(step / args.steps, elapsed / (args.minutes * 60))
        if done < 1:
            warm = min(1.0, (step + 1) / args.warmup)
            for group, peak in zip(masters.optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * warm * (1 - done)
            task = str(np.random.default_rng([args.seed, step]).choice(TASKS, p=args.mix))
            batch = batches[task][used[task] % len(batches[task])]
            used[task] += 1
            loss = step_loss(model, teacher, batch, args)
            loss.backward()
            masters.step()
            step += 1
            losses[task].append(loss.item())
            tokens += sum(len(p.query) + len(p.passage) for p in batch)
        if step % 20 == 0 or done >= 1:
            shown = {task: round(float(np.mean(v[-20:])), 3) for task, v in sorted(losses.items())}
            log(args, f"step {step} {elapsed / 60:.1f} min, {tokens / max(elapsed, 1):.0f} letters/s, loss {shown}")
        if done >= 1 or time.monotonic() - last_eval > args.every * 60:
            curve.append({"step": step, "minutes": round(elapsed / 60, 1), **measure_dev(model, dev)})
            log(args, json.dumps(curve[-1]))
            half = masters.state(model.bert)
            save_file(half, args.run / f"step-{step:05d}.safetensors")
            facts_now = {"step": step, "elapsed": time.monotonic() - began, "curve": curve, "used": dict(used)}
            save_state(args.run, masters, facts_now)
            write_meta(args, facts | {"batches_used": dict(used)}, curve)
            last_eval = time.monotonic()
        if done >= 1:
            return


def finish(args: argparse.Namespace) -> None:
    """Average the last checkpoints, mix with the start, choose on the development set, write the folder."""
    if args.out.resolve() == args.start.resolve():
        raise SystemExit(f"--out and --start are both {args.out}; write to another folder")
    torch.set_num_threads(args.threads)
    sources = Sources(args.data)
    meta = json.loads((args.run / "meta.json").read_text())
    dev = make.build_dev(sources, meta["flags"]["seed"])
    model = Encoder(args.start, args.device)
    start = {k: v.float() for k, v in read_weights(args.start).items()}
    paths = sorted(args.run.glob("step-*.safetensors"))
    loaded = [
        start | {k: v.float() for k, v in load_file(p).items()} for p in paths
    ]  # words that were kept: the start's
    names = [p.stem for p in paths]
    candidates: dict[str, dict[str, Tensor]] = dict(zip(names, loaded, strict=True))
    for count in args.means:
        if len(loaded) >= count:
            mean = {k: sum(s[k] for s in loaded[-count:]) / count for k in loaded[-1]}
            candidates[f"mean of the last {count}"] = mean
    scores = {
        f"step-{point['step']:05d}" if point["step"] else "start": {
            k: v for k, v in point.items() if k not in ("step", "minutes")
        }
        for point in meta["curve"]
    }
    results = {name: scores[name] for name in ("start", *names) if name in scores}
    for name, state in candidates.items():
        if name not in results:
            model.load_whole(state)
            results[name] = measure_dev(model, dev)
        log(args, f"{name}: {results[name]}")
    best = max(candidates, key=lambda n: results[n]["score"])
    for share in args.shares:
        name = f"{best}, {share:.2f} of the start"
        candidates[name] = {k: (1 - share) * v + share * start[k] for k, v in candidates[best].items() if k in start}
        model.load_whole(candidates[name])
        results[name] = measure_dev(model, dev)
        log(args, f"{name}: {results[name]}")
    floor = results["start"]["en-en"] - args.tolerance
    fit = [
        name
        for name in candidates
        if results[name]["en-en"] >= floor
        and all(results[name][pair] > results["start"][pair] for pair in ("ar-ar", "ar-en", "en-ar"))
    ]
    if not fit:
        raise SystemExit(f"no candidate keeps English at {floor:.4f} and betters the other pairs: {results}")
    best = max(fit, key=lambda n: results[n]["score"])
    half = {k: v.half() if v.is_floating_point() else v for k, v in candidates[best].items() if k in start}
    model.bert.float()
    model.load_whole(half)  # what is measured below is what is written
    meta |= {"candidates": results, "chosen": best}
    if not args.no_xquad:
        meta["xquad"] = measure_xquad(model, args.data)
        log(args, json.dumps(meta["xquad"]))
    if args.out.exists():
        shutil.rmtree(args.out)
    shutil.copytree(args.start, args.out, ignore=shutil.ignore_patterns("*.safetensors*", "meta.json"))
    for folder in (args.out, *(path for path in args.out.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # the start may be read-only
    write_weights(args.out, half, own="encoder.safetensors")
    write_graph(args.out)
    (args.out / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in args.out.rglob("*.*"):
        path.chmod(0o644 if path.is_file() else 0o755)
    log(args, f"{best} -> {args.out}")


# ---------------------------------------------------------------------------------------- command line


def log(args: argparse.Namespace, text: str) -> None:
    """Write a line to stderr and the run's log."""
    print(text, file=sys.stderr, flush=True)
    with (args.run / "log.txt").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def write_meta(args: argparse.Namespace, facts: dict[str, Any], curve: list[dict[str, float]]) -> None:
    """Write ``meta.json``: flags, data hashes, commit, versions, scores."""
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False).stdout
    paths = ("data", "start", "teacher", "run")
    flags = {k: v for k, v in vars(args).items() if k not in paths and not callable(v)}
    meta = {
        "flags": flags,
        "teacher": "all-MiniLM-L6-v2" if args.teacher else "starting weights",
        "commit": commit.strip(),
        "torch": torch.__version__,
        **facts,
        "curve": curve,
    }
    (args.run / "meta.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Run ``train`` or ``finish``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--data", type=Path, required=True, help="the data folder: qa_train, parallel, prose, eval")
    both.add_argument("--start", type=Path, required=True, help="the starting weights, a sentence-transformers folder")
    both.add_argument("--run", type=Path, required=True, help="checkpoints, log.txt and meta.json go here")
    both.add_argument("--device", default="cpu", help="cpu or cuda")
    both.add_argument("--threads", type=int, default=2, help="CPU threads")
    one = commands.add_parser("train", parents=[both], help="train, or go on training")
    one.add_argument("--teacher", type=Path, help="all-MiniLM-L6-v2; the starting weights if left out")
    one.add_argument("--minutes", type=float, default=45, help="wall-clock limit; the rate falls to 0 over it")
    one.add_argument("--steps", type=int, default=4000, help="limit on steps; the rate falls to 0 over it")
    one.add_argument("--every", type=float, default=8, help="minutes between evaluations")
    one.add_argument("--seed", type=int, default=20261122, help="data, held-out set, order")
    one.add_argument("--batch", type=int, default=64, help="pairs a step (twice as many translations)")
    one.add_argument("--tokens", type=int, default=160, help="longest passage in training")
    one.add_argument("--limit", type=int, default=60000, help="pairs a task at most")
    one.add_argument("--copies", type=int, default=4, help="times each human Arabic question is cropped anew")
    one.add_argument("--lr", type=float, default=1e-4, help="peak rate of the encoder and the English rows")
    one.add_argument("--lr-rows", type=float, default=8e-4, help="peak rate of the Arabic rows")
    one.add_argument("--keep-words", action="store_true", help="leave the word embeddings, which the reader shares")
    one.add_argument("--warmup", type=int, default=30, help="steps of warm-up")
    one.add_argument("--scale", type=float, default=20.0, help="cosines are multiplied by this before the softmax")
    one.add_argument("--anchor", type=float, default=1.0, help="weight of English vectors' distance to the teacher")
    one.add_argument("--distil", type=float, default=2.0, help="weight of translations' distance to the teacher")
    one.add_argument("--mix", type=float, nargs=7, default=[0.16, 0.08, 0.20, 0.14, 0.13, 0.04, 0.25],
                     help=f"share of steps of {', '.join(TASKS)}")  # fmt: skip
    one.set_defaults(go=train)
    two = commands.add_parser("finish", parents=[both], help="average, choose, write the model folder")
    two.add_argument("--out", type=Path, required=True, help="the folder to write")
    two.add_argument("--tolerance", type=float, default=0.005, help="how far English may fall on the development set")
    two.add_argument("--means", type=int, nargs="*", default=[2, 3, 4], help="average so many last checkpoints")
    two.add_argument("--shares", type=float, nargs="*", default=[0.1, 0.25], help="shares of the start to mix in")
    two.add_argument("--no-xquad", action="store_true", help="do not report XQuAD")
    two.set_defaults(go=finish)
    three = commands.add_parser("report", parents=[both], help="print the start's development and XQuAD figures")
    three.set_defaults(go=report)
    args = parser.parse_args(argv)
    args.go(args)
    return 0


def report(args: argparse.Namespace) -> None:
    """Print the development set's and XQuAD's figures of the weights under ``--start``."""
    torch.set_num_threads(args.threads)
    model = Encoder(args.start, args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    log(args, json.dumps({"dev": measure_dev(model, make.build_dev(Sources(args.data), make.DEV_SEED))}))
    log(args, json.dumps({"xquad": measure_xquad(model, args.data)}))


if __name__ == "__main__":
    sys.exit(main())
