"""Write the names of countries and large cities, from the CLDR of the Unicode Consortium, to ``rag/text/places.tsv``.

    pip install babel
    python -m training.places --output rag/text/places.tsv

A line is a name in Arabic, the name in English, and whether other forms of the Arabic word ("Jordanian") mean the place
too: not so where our dictionary knows them first of all as something else (those of Riyadh are about sports). CLDR has
the long names of states alone; the short ones in daily use and some cities of the Arab world that give no time zone
their name stand below. Names that are everyday words ("Mali" is "financial") are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.dictionary import Dictionary
from rag.text import content_terms, fold_text

SHORT = (
    ("السعودية", "Saudi Arabia"), ("السعودية", "Saudi"), ("السعودية", "KSA"), ("الإمارات", "Emirates"),
    ("الإمارات", "UAE"), ("أمريكا", "America"), ("أميركا", "USA"), ("بريطانيا", "Britain"), ("بريطانيا", "UK"),
    ("إنجلترا", "England"), ("إسكتلندا", "Scotland"), ("فلسطين", "Palestine"), ("تركيا", "Turkey"),
    ("كوريا", "Korea"), ("أوروبا", "Europe"), ("أفريقيا", "Africa"), ("آسيا", "Asia"), ("جدة", "Jeddah"),
    ("الإسكندرية", "Alexandria"), ("أبوظبي", "Abu Dhabi"), ("مكة", "Mecca"), ("الدوحة", "Doha"),
    ("الشارقة", "Sharjah"), ("الرباط", "Rabat"), ("الموصل", "Mosul"), ("البصرة", "Basra"), ("حلب", "Aleppo"),
    ("رام الله", "Ramallah"), ("صنعاء", "Sanaa"), ("الكويت", "Kuwait"), ("بكين", "Beijing"), ("واشنطن", "Washington"),
    ("برشلونة", "Barcelona"), ("ميلانو", "Milan"), ("دلهي", "Delhi"), ("نيويورك", "New York"), ("الخليج", "Gulf"),
)  # fmt: skip


EVERYDAY = "مالي بنين ترك نوم العيون جدة بوتان نيوي ديلي عدن مسقط حلب جوني سول كايين لومي تالين عمّان عُمان".split()


def names() -> Iterator[tuple[str, str]]:
    """Yield ``(Arabic, English)``."""
    from babel import Locale

    arabic, english = Locale("ar"), Locale("en")
    for code, name in english.territories.items():
        if code in arabic.territories and code.isalpha() and code not in ("ZZ", "XA", "XB", "UN", "EU", "EZ"):
            yield arabic.territories[code], name
    for zone, found in arabic.time_zones.items():
        if found.get("city") and zone.split("/")[0] in ("Africa", "America", "Asia", "Australia", "Europe", "Pacific"):
            name = english.time_zones.get(zone, {}).get("city") or zone.rsplit("/", 1)[1].replace("_", " ")
            yield found["city"], name
    yield from SHORT


def has_forms(arabic: str, english: str, dictionary: Dictionary) -> bool:
    """Tell whether the stem of an Arabic name of one word means the place before anything else."""
    stems = content_terms(arabic, "ar")
    if len(arabic.split()) > 1 or len(stems) != 1 or len(stems[0]) < 3:
        return False
    translations = dictionary.translate(stems[0], "ar", "en")
    return sum(p for term, p in translations if term[:4] == fold_text(english)[:4]) >= 0.3


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    dictionary = Dictionary.load()
    found = sorted({(arabic, english) for arabic, english in names() if arabic not in EVERYDAY})
    lines = [f"{arabic}\t{english}\t{has_forms(arabic, english, dictionary):d}\n" for arabic, english in found]
    args.output.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} names")


if __name__ == "__main__":
    main()
