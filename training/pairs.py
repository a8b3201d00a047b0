"""Pairs for the embedder, made from the training sources: mining, the held-out set, the mixing of sources.

Every text of a pair is finished here: the trainer only cuts it into tokens. So the check that no evaluation text
is among the pairs covers exactly what is trained on.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data import Pair, Sources, clean, normal_words
from training.gloss import Glosser
from training.silver import arabic_questions, augment_arabic, chosen, crop, english_questions, sentences
from training.written import read_questions, read_sections, translated

# ------------------------------------------------------------------------------------------------ mining

_LIGHT_PREFIX = re.compile(r"^(?:وال|بال|كال|فال|لل|ال|و(?=\w{4}))")
_AR_STOP = frozenset(
    "من هو هي ما ماذا متي اين كم كيف لماذا هل في علي الي عن ان التي الذي هذا هذه كان كانت اي عدد تم يتم او و بين "
    "مع اول اهم كل عند بعد قبل هم لم لا ب ل".split()
)


def light_terms(text: str) -> list[str]:
    """Return folded Arabic words without article, conjunction and the commonest endings, without stop words."""
    out = []
    for word in normal_words(text):
        if word in _AR_STOP:
            continue
        stem = _LIGHT_PREFIX.sub("", word) if len(word) > 4 else word
        if len(stem) > 4:
            stem = re.sub("(?:ات|ون|ين|ان|ها|يه|ه|ي)$", "", stem)
        if stem and stem not in _AR_STOP:
            out.append(stem)
    return out


def mine(
    questions: list[str], sections: list[dict[str, Any]], *, coverage: float = 0.8, margin: float = 1.1
) -> list[tuple[int, int]]:
    """Find a section for a question where hardly any doubt remains.

    A pair counts when the title's terms all stand in the question, the section holds at least ``coverage`` of the
    question's inverse-document-frequency mass (title counted in), and its BM25 score is ``margin`` times that of
    the best section of any other article.

    Returns:
        ``(question row, section row)`` for each find.
    """
    postings: dict[str, dict[int, int]] = defaultdict(dict)
    titles = [frozenset(light_terms(s["title"])) for s in sections]
    lengths = np.zeros(len(sections), dtype=np.float32)
    for row, section in enumerate(sections):
        counts = Counter(light_terms(section["title"] + " " + section["text"]))
        lengths[row] = sum(counts.values())
        for term, n in counts.items():
            postings[term][row] = n
    mean = float(lengths.mean())
    found = []
    for number, question in enumerate(questions):
        terms = set(light_terms(question))
        if len(terms) < 2:
            continue
        scores: dict[int, float] = defaultdict(float)
        mass: dict[int, float] = defaultdict(float)
        total = 0.0
        for term in terms:
            hits = postings.get(term, {})
            idf = float(np.log(1 + (len(sections) - len(hits) + 0.5) / (len(hits) + 0.5)))
            total += idf
            for row, n in hits.items():
                scores[row] += idf * n * 1.9 / (n + 0.9 * (0.6 + 0.4 * float(lengths[row]) / mean))
                mass[row] += idf
        ranked = sorted(scores, key=lambda r: (-scores[r], r))[:20]
        for best in ranked[:1]:
            title = sections[best]["title"]
            other = max((scores[r] for r in ranked if sections[r]["title"] != title), default=0.0)
            if titles[best] and titles[best] <= terms and mass[best] >= coverage * total:
                if len(terms) > len(titles[best]) and scores[best] >= margin * other:
                    found.append((number, best))
    return found


# ------------------------------------------------------------------------------------------- the builders


@dataclass(frozen=True, slots=True)
class Dev:
    """The held-out development set: questions of training sources whose passages are never trained on.

    Each of ``pools`` has a name such as ``"ar-ar"``, its queries, its passages, and the right passage's row for
    each query.
    """

    pools: dict[str, tuple[list[str], list[str], list[int]]]

    def texts(self) -> list[str]:
        """Return the texts to keep out of training: all but passages that only distract."""
        out: list[str] = []
        for queries, passages, rows in self.pools.values():
            out += queries + [passages[row] for row in sorted(set(rows))]
        return out


TICO_DEV_LINES = 780
DEV_SEED = 20261122  # what is held out of every model's training


def build_dev(sources: Sources, seed: int, *, size: int = 300) -> Dev:
    """Hold out ARCD passages, English passages, bilingual FAQ and TICO-19 windows; the same for the same seed.

    Args:
        sources: The data.
        seed: Chooses what is held out.
        size: Questions a language at most.
    """
    rng = np.random.default_rng(seed)
    arabic = sources.questions("arcd.ar", "train")
    passages = sorted({row["text"] for row in arabic})
    rng.shuffle(passages)
    held = set(passages[: int(len(passages) * 0.55)])
    chosen = [row for row in arabic if row["text"] in held][:size]
    pools = {"ar-ar": _pool([(row["question"], row["text"]) for row in chosen], passages)}

    english: list[tuple[str, str]] = []
    wiki = sources.questions("squadshifts_new_wiki.en", "all")
    articles = sorted({row["context_id"].split("-")[0] for row in wiki})
    rng.shuffle(articles)
    seen: Counter[str] = Counter()
    for article in articles[: max(2, len(articles) // 6)]:
        for row in (row for row in wiki if row["context_id"].split("-")[0] == article):
            if seen[row["context_id"]] < 2 and len(english) < size * 2 // 3:
                seen[row["context_id"]] += 1
                english.append((row["question"], row["text"]))
    tydi = sources.questions("tydiqa_goldp.en", "train")
    for i in rng.permutation(len(tydi))[: size // 3]:
        english.append((tydi[int(i)]["question"], tydi[int(i)]["text"]))
    pools["en-en"] = _pool(english, [])

    faq = sources.prose("legal-clinic.ar.faq.jsonl.zst") + sources.prose("covid19-portal.ar.faq.jsonl.zst")
    faq = [row for row in faq if row.get("question_en") and row.get("answer_en")]
    to_en = [(row["question"], row["answer_en"]) for row in faq]
    to_ar = [(row["question_en"], row["answer"]) for row in faq]
    lines = sources.parallel("tico19")[-TICO_DEV_LINES:]
    for start in range(0, len(lines) - 5, 6):
        window = lines[start : start + 6]
        at = max(range(6), key=lambda i: len(window[i][0]))
        rest = window[:at] + window[at + 1 :]
        to_en.append((window[at][1], " ".join(en for en, _ in rest)))
        to_ar.append((window[at][0], " ".join(ar for _, ar in rest)))
    pools["ar-en"] = _pool(to_en, [])
    pools["en-ar"] = _pool(to_ar, [])
    return Dev(pools)


def _pool(pairs: list[tuple[str, str]], distractors: list[str]) -> tuple[list[str], list[str], list[int]]:
    passages = list(dict.fromkeys([passage for _, passage in pairs] + distractors))
    row_of = {passage: row for row, passage in enumerate(passages)}
    return [query for query, _ in pairs], passages, [row_of[passage] for _, passage in pairs]


def _spread(rows: list[Any], article: Callable[[Any], str], rng: np.random.Generator, run: int = 4) -> list[Any]:
    """Return the rows in random order, but up to ``run`` of one article beside each other: hard negatives for free."""
    by_article: dict[str, list[Any]] = defaultdict(list)
    for i in rng.permutation(len(rows)):
        by_article[article(rows[int(i)])].append(rows[int(i)])
    runs = [group[i : i + run] for group in by_article.values() for i in range(0, len(group), run)]
    return [row for i in rng.permutation(len(runs)) for row in runs[int(i)]]


def shuffled(pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    """Return the pairs in random order."""
    return [pairs[int(i)] for i in rng.permutation(len(pairs))]


def shuffled_runs(pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    """Return the pairs in random order, but up to four of one article and language pair beside each other."""
    return _spread(pairs, lambda p: p.group.split("#")[0] + p.languages, rng)


def arabic_wiki(sources: Sources, rng: np.random.Generator, limit: int) -> list[Pair]:
    """Silver questions, or a sentence taken out, against the rest of its section; four of an article together."""
    sections = [{**s, "at": i} for i, s in enumerate(sources.prose("wiki-ar.ar.jsonl.zst"))]
    pairs: list[Pair] = []
    for section in _spread(sections, lambda s: s["title"], rng):
        text, title = clean(section["text"].replace("\n", " \n ")), section["title"]
        parts = [s for s in sentences(text) if len(s.split()) >= 5]
        if len(text.split()) < 25 or not parts:
            continue
        short = re.sub(r"\s*\([^)]*\)", "", title)
        order = [int(i) for i in rng.permutation(len(parts))]
        query = ""
        if rng.random() < 0.6:
            for i in order[:6]:
                if made := arabic_questions(parts[i], short, rng):
                    query, around = chosen(made, rng), text.find(parts[i])
                    break
        if not query:
            part = parts[order[0]]
            around = text.find(part)
            words = part.split()
            take = int(rng.integers(5, 15))
            start = int(rng.integers(0, max(1, len(words) - take + 1)))
            query = " ".join(words[start : start + take]).strip("،.:؛ ")
            if short not in text[around:] and rng.random() < 0.5:
                query = f"{query} {short}"
            if len(parts) > 1 and rng.random() < 0.6:
                text = clean(text[:around] + text[around + len(part) :])
                around = -1
        passage = crop(text, 30 + 15 * int(rng.integers(0, 6)), rng, around=around)
        if rng.random() < 0.15:
            passage = f"{short}\n{passage}"
        if len(passage.split()) >= 12:
            group = f"wiki:{title}#{section['at']}"
            pairs.append(Pair(augment_arabic(query, rng), passage.replace(" \n ", "\n"), "ar_wiki", group, "ar-ar"))
        if len(pairs) >= limit:
            break
    return pairs


def arabic_real(sources: Sources, rng: np.random.Generator, copies: int) -> list[Pair]:
    """Human Arabic questions: ARCD, FAQ, Mr.TyDi's with mined sections; each a few times, cropped anew."""
    rows: list[tuple[str, str, str, int]] = []
    for row in sources.questions("arcd.ar", "train"):
        group = f"arcd:{row['context_id'].replace('-', '#')}"
        rows.append((row["question"], row["text"], group, row["answers"][0]["start"]))
    for row in sources.questions("covid_faq_mt.ar", "train"):
        rows.append((row["question"], row["text"], f"covid_mt:{row['context_id']}#", -1))
    sections = sources.prose("wiki-ar.ar.jsonl.zst")
    topics = [row["question"] for row in sources.topics()]
    for question, section in mine(topics, sections):
        text, title = sections[section]["text"], sections[section]["title"]
        if not set(light_terms(title)) <= set(light_terms(text)):
            text = f"{title}\n{text}"
        rows.append((clean(topics[question]).replace(" ؟", "؟"), text, f"wiki:{title}#{section}", 0))
    leads: dict[str, tuple[int, str]] = {}
    for i, section in enumerate(sections):
        leads.setdefault(section["title"], (i, section["text"]))
    titles = list(leads)
    for i in rng.permutation(len(titles))[:1500]:
        title = titles[int(i)]
        at, text = leads[title]
        short = re.sub(r"\s*\([^)]*\)", "", title)
        query = chosen([short, f"ما هو {short}؟", f"معلومات عن {short}", f"من هو {short}؟", f"{short}؟"], rng)
        rows.append((query, text, f"wiki:{title}#{at}", 0))
    pairs = []
    for _ in range(copies):
        for i in rng.permutation(len(rows)):
            query, text, group, around = rows[int(i)]
            passage = crop(text, 35 + 15 * int(rng.integers(0, 6)), rng, around=around)
            pairs.append(Pair(augment_arabic(query, rng), passage, "ar_real", group, "ar-ar"))
    return pairs


def ours(sources: Sources, rng: np.random.Generator, copies: int) -> list[Pair]:
    """Questions that we wrote, or put into Arabic, and their passages, a few times, cropped anew; articles together."""
    sections = read_sections(sources)
    rows: list[tuple[str, str, str, int, str]] = []
    for asked in read_questions("reader"):
        if asked.context is not None:
            section = sections[asked.context]
            group = f"{section.document(asked.context)}#{asked.context}"
            place = section.text.find(asked.answer or "")
            text = f"{section.heading}\n{section.text}" if asked.context.startswith("ours:") else section.text
            rows.append((asked.question, text, group, place, f"{asked.language}-{section.language}"))
    for name, question, row in translated(sources):
        article, _, paragraph = row["context_id"].partition("-")
        rows.append((question, row["text"], f"{name}:{article}#{paragraph}", row["answers"][0]["start"], "ar-en"))
    pairs = []
    for _ in range(copies):
        for query, text, group, place, languages in _spread(rows, lambda row: row[2].split("#")[0], rng):
            asked_so = augment_arabic(query, rng) if languages.startswith("ar") else query
            passage = crop(text, 45 + 15 * int(rng.integers(0, 6)), rng, around=place)
            pairs.append(Pair(asked_so, passage, "ours", group, languages))
    return pairs


ENGLISH_SETS = (
    ("squadshifts_new_wiki.en", "all", 8000), ("tydiqa_goldp.en", "train", 4000),
    ("squadshifts_reddit.en", "all", 2500), ("squadshifts_amazon_reviews.en", "all", 1500),
    ("medquad.en", "train", 2000), ("covid_faq_jhu.en", "train", 2000), ("covid_faq_deepset.en", "train", 300),
    ("pubmedqa_l.en", "all", 800), ("policyqa.en", "dev", 800),
)  # fmt: skip


def english_qa(sources: Sources, rng: np.random.Generator) -> list[Pair]:
    """English questions and their passages, several paragraphs of an article beside each other."""
    rows = []
    for name, split, cap in ENGLISH_SETS:
        found = sources.questions(name, split)
        for i in rng.permutation(len(found))[:cap]:
            row = found[int(i)]
            start = row["answers"][0]["start"] if row["answers"] else -1
            article, _, paragraph = row["context_id"].partition("-")
            rows.append((row["question"], row["text"], f"{name}:{article}#{paragraph}", start))
    pairs = []
    for query, text, group, start in _spread(rows, lambda r: r[2].split("#")[0], rng):
        passage = crop(text, 45 + 15 * int(rng.integers(0, 6)), rng, around=start)
        pairs.append(Pair(query, passage, "en_qa", group, "en-en"))
    return pairs


def glossed(english: list[Pair], sources: Sources, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
    """English questions and passages with one side, or both, in Arabic words (`gloss`).

    Args:
        english: Pairs that the wall has let through: a gloss hides from it what it came from.
        sources: Arabic text for the forms of words.
        rng: Draws.

    Returns:
        ``(translations, crossed)`` as from `parallel`.
    """
    arabic = [row["text"] for row in sources.prose("wiki-ar.ar.jsonl.zst")[::3]]
    arabic += [
        ar for name in ("tico19", "coop-ms-beginners", "ms-customer-insights") for _, ar in sources.parallel(name)
    ]
    glosser = Glosser(arabic)
    translations, crossed = [], []
    for pair in english:
        keep = 0.1 * int(rng.integers(0, 3))
        draw, also_question, also_passage = rng.random(3) < (0.5, 0.4, 0.2)
        in_both = not draw and rng.random() < 0.4
        question = glosser.gloss(pair.query, rng, keep=keep).text
        passage = glosser.gloss(pair.passage, rng, keep=keep).text if not draw or also_passage else ""
        if draw:
            crossed.append(Pair(augment_arabic(question, rng), pair.passage, "cross", pair.group, "ar-en"))
        elif in_both:
            crossed.append(Pair(question, passage, "cross", pair.group, "ar-ar"))
        else:
            crossed.append(Pair(pair.query, passage, "cross", pair.group, "en-ar"))
        if also_question:
            translations.append(Pair(pair.query, question, "parallel", pair.group, "en-ar"))
        if also_passage:
            translations.append(Pair(pair.passage, passage, "parallel", pair.group, "en-ar"))
    return translations, crossed


OTHER_LANGUAGES = ("es", "fr", "de", "pt", "it", "tr", "fa", "ur", "ru", "hi", "zh")
OTHER_SETS = (
    ("tico19", 3000), ("opensource-guide", 2000), ("coop-ms-beginners", 4000), ("mozilla-www", 2000),
    ("bitcoin-org", 1500), ("ms-customer-insights", 1500), ("ms-dynamics-operations", 1500),
)  # fmt: skip


def other_languages(sources: Sources, rng: np.random.Generator) -> list[Pair]:
    """English lines and their translations into eleven more languages, as far as there are files."""
    pairs = []
    for name, cap in OTHER_SETS:
        for language in OTHER_LANGUAGES:
            if not (sources.root / "parallel" / f"{name}.en-{language}.tsv.zst").exists():
                continue
            lines = sources.parallel(name, language=language)
            if name == "tico19":
                lines = lines[:-TICO_DEV_LINES]
            good = [i for i, (en, _) in enumerate(lines) if 4 <= len(en.split()) <= 50]
            for i in rng.permutation(len(good))[:cap]:
                en, other = lines[good[int(i)]]
                pairs.append(Pair(en, other, "other", f"{name}:{good[int(i)]}", f"en-{language}"))
    return shuffled(pairs, rng)


# Lines of running text first; software documentation is two thirds of the whole and stays capped.
PARALLEL_SETS = (
    ("tico19", "parallel", 9999), ("opensource-guide", "parallel", 9999), ("coop-ms-beginners", "parallel", 14000),
    ("bitcoin-org", "parallel", 9999), ("mozilla-www", "parallel", 9999), ("ms-customer-insights", "parallel", 4000),
    ("ms-dynamics-operations", "parallel", 5000), ("ms-project-operations", "parallel", 3000),
    ("african-storybook", "prose", 9999), ("monero-site", "parallel", 9999), ("common-voice-site", "parallel", 9999),
    ("open-sdg", "parallel", 9999), ("tatoeba-manythings", "parallel", 99999), ("ud-pud", "prose", 9999),
)  # fmt: skip
NOT_RUNNING = frozenset({"tatoeba-manythings", "ud-pud", "open-sdg", "common-voice-site"})


def parallel(sources: Sources, rng: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
    """Translations for distillation, and questions or sentences against a passage in the other language.

    Returns:
        ``(translations, crossed)``: (English, Arabic) lines and windows of lines; and query in one language, window
        of lines in the other.
    """
    translations: list[Pair] = []
    crossed: list[Pair] = []
    for name, part, cap in PARALLEL_SETS:
        lines = sources.parallel(name, part)
        if name == "tico19":
            lines = lines[:-TICO_DEV_LINES]
        good = [i for i, (en, ar) in enumerate(lines) if 3 <= len(en.split()) <= 60 and 2 <= len(ar.split()) <= 60]
        for i in rng.permutation(len(good))[:cap]:
            en, ar = lines[good[int(i)]]
            augmented = augment_arabic(ar, rng, rate=0.2)
            translations.append(Pair(en, augmented, "parallel", f"{name}:{good[int(i)]}", "en-ar"))
        if name in NOT_RUNNING:
            continue
        software = name.startswith(("ms-", "coop-"))
        stride = 5 if software else 2  # windows of one article must not overlap: they are each other's negatives
        starts = stride * rng.permutation(len(lines) // stride)[: cap // (6 if name.startswith("ms-") else 3)]
        for start in starts.tolist():
            size = int(rng.integers(2, 6))
            window = [(en, ar) for en, ar in lines[start : start + size] if len(en.split()) > 1]
            total = sum(len(en.split()) for en, _ in window)
            if len(window) < 2 or not 15 <= total <= 100:
                continue
            en_text, ar_text = (" ".join(side) for side in zip(*window, strict=True))
            group = f"{name}:{start // 40}#{start}" if software else f"{name}:{start}#"
            if rng.random() < 0.35:
                translations.append(Pair(en_text, ar_text, "parallel", group, "en-ar"))
            at = max(range(len(window)), key=lambda i: min(len(window[i][0].split()), 25) + 8 * rng.random())
            en, ar = window[at]
            if len(en.split()) < 5:
                continue
            left = window[:at] + window[at + 1 :]
            keep = sum(len(e.split()) for e, _ in left) < 12 or rng.random() < 0.6
            if rng.random() < 0.6:
                made = arabic_questions(ar, "", rng)
                query = chosen(made, rng) if made else " ".join(ar.split()[: int(rng.integers(6, 18))])
                query, passage, languages = augment_arabic(query, rng), en_text, "ar-en"
                if not keep and not made:
                    passage = " ".join(e for e, _ in left)
            else:
                made = english_questions(en)
                query = made[0] if made else " ".join(en.split()[: int(rng.integers(6, 18))])
                passage, languages = ar_text, "en-ar"
                if not keep and not made:
                    passage = " ".join(a for _, a in left)
            crossed.append(Pair(query, passage, "cross", group, languages))
    for row in sources.questions("covid_faq_mt.ar", "train"):
        group = f"covid_mt:{row['context_id']}#"
        for _ in range(3):
            crossed.append(Pair(row["question_en"], crop(row["text"], 70, rng), "cross", group, "en-ar"))
    crossed += named(sources, rng)
    return translations, crossed


_ENGLISH_NAME = re.compile(
    r"(?:بالإنجليزية|بالانجليزية|بالإنكليزية|إنجليزية)\s*:?\s*(?P<en>[A-Z][A-Za-z .,'&-]{3,45}[A-Za-z])"
)


def named(sources: Sources, rng: np.random.Generator) -> list[Pair]:
    """English questions on Arabic leads that give the English name of their subject, the name taken out of them."""
    pairs = []
    seen: set[str] = set()
    for i, section in enumerate(sources.prose("wiki-ar.ar.jsonl.zst")):
        head = section["text"][:250]
        if section["title"] in seen or not (m := _ENGLISH_NAME.search(head)):
            continue
        seen.add(section["title"])
        name = m["en"].strip(" .,-")
        text = (head[: m.start()] + head[m.end() :]).replace("()", "") + section["text"][250:]
        ask = chosen(["What is {}?", "{}", "Tell me about {}", "Who or what is {}?", "{} history"], rng).format(name)
        passage = crop(clean(text), 60, rng, around=0)
        pairs.append(Pair(ask, passage, "cross", f"wiki:{section['title']}#{i}", "en-ar"))
        short = re.sub(r"\s*\([^)]*\)", "", section["title"])
        query = f"ما هو {short}؟" if rng.random() < 0.5 else short
        pairs.append(Pair(query, name, "cross", f"wiki:{short}#name", "ar-en"))
    return pairs
