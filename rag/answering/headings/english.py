"""English headings as questions: by closed lists and the look of the heading, no parser.

What a rule cannot word well it leaves alone: a heading that makes no question is no loss, there are others.
"""

from __future__ import annotations

import re
from typing import Final

from rag.answering.headings.cleaning import (
    MAX_TOPIC_WORDS,
    Topic,
    Wording,
    are_parallel,
    is_usable,
    names_of,
    shares_term,
    without_frame,
)
from rag.answering.phrases import phrases

_ASKING = r"what|which|who|whom|whose|when|where|why|how"
_AUXILIARIES = (
    r"is|are|was|were|do|does|did|can|could|should|must|will|would|may|might|has|have|isn't|aren't|don't|doesn't|can't"
)
_QUESTION: Final = re.compile(rf"(?:{_ASKING}|{_AUXILIARIES})\b", re.IGNORECASE)
_DIRECT: Final = re.compile(
    rf"(?:(?:{_AUXILIARIES})\b|(?:what|which|whose|how) \w+ (?:{_AUXILIARIES})\b|(?:{_ASKING}) (?:{_AUXILIARIES})\b"
    rf"|(?:what|who|when|where|why|how)'s\b)",
    re.IGNORECASE,
)
_INFINITIVE: Final = re.compile(
    rf"(?P<ask>(?:{_ASKING})(?:(?: \w+){{1,2}})??) (?:not )?to (?P<rest>\w.*)", re.IGNORECASE
)
_INVERTED: Final = re.compile(
    rf"(?P<ask>{_ASKING}) (?P<subject>(?!(?:{_ASKING}|to|it|they|that)\b)\w[\w' -]*?)"
    r" (?P<aux>is|are|was|were|can|could|should|must|will) (?P<rest>\w.*)",
    re.IGNORECASE,
)
_PRONOUN: Final = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|these|those|he|him|his|she|her|both|ones?|each other|here|there|above"
    r"|below)\b",
    re.IGNORECASE,
)
_VERSUS: Final = re.compile(r"(?P<a>.+?)\s+(?:vs\.?|versus|compared (?:to|with))\s+(?P<b>.+)", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"(?:the )?(?:key |main )?differences? between (?P<pair>.+ and .+)", re.IGNORECASE)
_PAIR: Final = re.compile(r"(?P<a>[\w' -]+?) (?:and|or) (?P<b>[\w' -]+)", re.IGNORECASE)
_SHARED_HEAD: Final = re.compile(r"(?P<a>\w+) or (?P<b>\w+) (?P<head>\w+)", re.IGNORECASE)
_AFTER = r"of|for|in|on|to|from|that|before|after|when|with|between|against|by|behind|every|you"
_MANY = r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d{1,2}"
_LISTED = (
    r"types|kinds|forms|categories|classes|sizes|steps|stages|phases|advantages|disadvantages|benefits|drawbacks|pros|cons"
    r"|risks|dangers|challenges|problems|limitations|tools|methods|techniques|ways|tips|goals|objectives|aims|principles"
    r"|rules|elements|components|features|characteristics|requirements|conditions|criteria|factors|causes|reasons"
    r"|effects|impacts|consequences|symptoms|signs|mistakes|errors|metrics|indicators|skills|tasks|duties"
    r"|responsibilities|roles|channels|levels|strategies|differences|uses|applications|options|alternatives|costs|fees"
    r"|functions|qualities|formulas|deadlines|rights"
)
_LIST: Final = re.compile(
    rf"(?:the )?(?P<what>(?:(?P<many>{_MANY}) )?(?:(?!(?:{_AFTER}|{_ASKING}|and)\b)\w+ ){{0,2}}?(?:{_LISTED}))"
    rf"(?P<rest>(?: (?:{_AFTER}) .*)?)",
    re.IGNORECASE,
)
_COUNTED: Final = re.compile(
    rf"(?:the )?(?P<what>(?:{_MANY}) (?:\w+ )?\w+s)(?P<rest>(?: (?:{_AFTER}) .*)?)", re.IGNORECASE
)
_SINGLE: Final = re.compile(
    r"(?:the )?(?P<what>importance|role|purpose|goal|aim|impact|effect|history|structure|anatomy|future|value|cause"
    r"|cost|price|place|difference|duration|validity|scope|nature) (?P<rest>(?:of|for|in|on) .+)",
    re.IGNORECASE,
)
_MEANING: Final = re.compile(r"(?:the )?(?:definition|meaning|concept|notion) of (?P<rest>.+)", re.IGNORECASE)
_VERBS: Final = frozenset(
    "build choose create write measure use make manage find start grow improve reach divide judge sort review select"
    " define design develop implement handle avoid prevent protect configure install connect add remove delete update"
    " upgrade download upload import export enable disable change edit save share send receive publish post check track"
    " monitor analyse analyze evaluate calculate estimate reduce increase attract convert retain engage answer hire"
    " teach learn read prepare apply submit register pay buy sell return renew request report close open keep maintain"
    " store clean repair replace diagnose treat collect optimise optimize organise organize schedule assess recover"
    " restore reset set get run cut spot plan put begin stop ship identify combine compare test detect deal load turn"
    " unpack press switch enter".split()
)
_DOUBLING: Final = frozenset("set get run cut spot plan put begin stop ship reset".split())
_DETERMINER = r"an?|the|your|our|my|their|each|every|any"
_PLAIN_STOP: Final = re.compile(
    rf"\b(?:{_AUXILIARIES}|{_ASKING}|not|nobody|nothing|everything|comes?|gets?|makes?|works?|needs?|matters|means|goes|says"
    r"|helps?|hurts?|looks?|takes?|gives?|costs|you|we|i|but|if|because|as|than|so|without|within|beyond|yes|no)\b",
    re.IGNORECASE,
)
_NO_NOUN: Final = re.compile(
    r"(?:ly|first|last|online|more|less|better|best|ahead|away|elsewhere|now|today|again|about)$", re.I
)
_PREPOSITION: Final = re.compile(
    r"\b(?:of|for|in|on|to|from|with|by|at|between|against|through|and|or)\b", re.IGNORECASE
)
_PLURAL: Final = re.compile(r"(?:[^iu]cs|[^csiu]s|[^c]ies|(?:metr|top|graph|crit|mechan|fabr|cosmet)ics)$")
_MASS: Final = re.compile(
    r"(?:ing|tion|sion|ment|ness|ity|ism|ance|ence|ship|phy|logy|merce|care|ware|ics|cy|ty|sm|th|intent|support|content"
    r"|media|data|money|trust|fraud|law|music|design|research|traffic|diabetes|news|intelligence)$"
)
_DOCUMENT: Final = re.compile(
    r"\b(?:handbook|guide|manual|policy|report|agreement|contract|act|standard|brochure|paper|memo|datasheet)$",
    re.IGNORECASE,
)
_IN: Final = re.compile(r"\b(?:steps|stages|phases|ways|channels|roles)$")  # "steps in", but "risks of"
_NOUNS_TOO: Final = frozenset(  # verbs of the list above that open a noun phrase as well: "test results"
    "measure use start handle sort review design update upgrade change edit share post check track monitor estimate"
    " increase answer hire report request open clean repair replace treat store schedule reset set get run cut spot"
    " plan put stop ship test deal export import return divide build find reach judge pay buy sell close keep".split()
)


def _gerund(verb: str) -> str:
    if verb in _DOUBLING:
        return f"{verb}{verb[-1]}ing"
    return f"{verb[:-1]}ing" if verb.endswith("e") and not verb.endswith("ee") else f"{verb}ing"


_GERUNDS: Final = {_gerund(verb): verb for verb in _VERBS}


def is_question(text: str) -> bool:
    """Tell whether a heading asks something, be it in the order of words of a statement: "Why the answer is public"."""
    return _QUESTION.match(text) is not None and len(text.split()) > 1


def topic_of_title(title: str) -> Topic:
    """Return the subject of a document, from its cleaned title."""
    is_asked = is_question(title)
    if is_asked:
        found = [phrase.surface for phrase in phrases(title) if phrase.terms]
        title = max(found, key=len) if found else ""
    topic = without_frame(title.split(":")[0]).strip()
    is_fit = 0 < len(topic.split()) <= MAX_TOPIC_WORDS and not re.search(r"[,?]", topic) and is_usable(topic)
    if not is_fit or not names_of(topic) or _PLAIN_STOP.search(topic):
        return Topic()
    last = topic.split()[-1].lower()
    is_document = _DOCUMENT.search(last) is not None
    # A name that takes no article can be said anywhere: "in email marketing", but "in the box".
    is_bare = _MASS.search(last) or _PLURAL.search(last) or topic.split()[0].lower() in _GERUNDS or is_document
    return Topic(topic, not is_bare or re.search(r"\b(?:and|or|&)\b", topic) is not None, is_asked, is_document)


def wording(text: str, topic: Topic, *, is_title: bool, is_defined: bool) -> Wording | None:
    """Return the question that a cleaned heading makes; None where none reads well.

    Args:
        text: The heading, or the part of it before its colon; its first word in the case of running text.
        topic: The subject of the document.
        is_title: Whether the heading is the document's title, which needs no topic.
        is_defined: Whether the text below says what it is that the heading names.
    """
    if is_question(text):
        return _of_question(text, topic)
    text = without_frame(text)
    if not text or text.endswith("?") or _is_dangling(text) or "," in text:
        return None
    if is_title and topic.is_document:
        return None
    topic = Topic() if is_title else topic
    match = _BETWEEN.fullmatch(text)
    if match:
        return Wording(f"What is the difference between {match['pair']}?", 0)
    match = _VERSUS.fullmatch(text)
    if match:
        return Wording(f"What is the difference between {match['a']} and {match['b']}?", 0)
    match = _SHARED_HEAD.fullmatch(text)
    if match:
        a, b, head = match.groups()
        return Wording(f"What is the difference between {a} {head} and {b} {head}?", 0)
    match = _PAIR.fullmatch(text)
    if match and are_parallel(match["a"], match["b"]):
        return Wording(f"What is the difference between {match['a']} and {match['b']}?", 0)
    match = _MEANING.fullmatch(text)
    if match:
        return Wording(f"What is meant by {match['rest']}?", 0)
    match = _SINGLE.fullmatch(text)
    if match:
        return Wording(f"What is the {match['what'].lower()} {match['rest']}?", 1)
    found = _of_list(text, topic) or _of_action(text, topic)
    return found or _of_name(text, topic, is_title=is_title, is_defined=is_defined)


def about(text: str, topic: Topic) -> str | None:
    """Return what the documents may be asked to say something about: a heading as a noun phrase; None for others."""
    text = without_frame(text)
    if is_question(text) or _is_dangling(text) or "," in text or _is_clause(text):
        return None
    return _within(_with_article(text), text, topic)


def _of_question(text: str, topic: Topic) -> Wording | None:
    bare = text.rstrip("?").strip().split(",")[0]
    if topic.near and not topic.near.endswith("s"):
        bare = re.sub(rf"^((?:{_ASKING}) )it\b", lambda match: match[1] + topic.near, bare, flags=re.IGNORECASE)
    if _is_dangling(bare) or len(bare.split()) < 3:
        return None
    bare = bare[0].upper() + bare[1:]
    if text.endswith("?") or _DIRECT.match(bare):
        if names_of(bare):
            return Wording(f"{bare}?", 0)
        opening = topic.opening and text.endswith("?")
        return Wording(f"{topic.text[0].upper()}{topic.text[1:]}: {bare[0].lower()}{bare[1:]}?", 2) if opening else None
    match = _INFINITIVE.fullmatch(bare)
    if match:
        if match["ask"].lower() != "how":
            return Wording(f"{match['ask']} should you {match['rest']}?", 0)
        return Wording(_ask_within(f"How do you {match['rest']}?", bare, topic), 0)
    if not names_of(bare):
        return None
    match = _INVERTED.fullmatch(bare)
    if match and len(match["subject"].split()) <= 5:
        return Wording(f"{match['ask']} {match['aux'].lower()} {match['subject']} {match['rest']}?", 1)
    clause = bare[0].lower() + bare[1:]
    return Wording(f"What should you do {clause}?" if clause.startswith("when ") else f"Can you explain {clause}?", 1)


def _of_list(text: str, topic: Topic) -> Wording | None:
    match = _LIST.fullmatch(text) or _COUNTED.fullmatch(text)
    if match is None:
        return None
    what = match["what"][0].lower() + match["what"][1:]
    if match["rest"]:
        return Wording(_ask_within(f"What are the {what}{match['rest']}?", text, topic), 1)
    if len(what.split()) > 1 and not re.match(rf"(?:{_MANY}|main|common|basic|key|important|most) ", what):
        return None  # "vanity metrics" is a name
    if shares_term(text, topic.text):
        return Wording(f"What are the {what}?", 1)
    if not topic.needed or topic.is_asked:
        return None
    joint = _joint(topic, topic.needed)
    return Wording(f"What are the {what} {joint if _IN.search(what) else re.sub('^in ', 'of ', joint)}?", 1)


def _of_action(text: str, topic: Topic) -> Wording | None:
    first, _, rest = text.partition(" ")
    verb = _GERUNDS.get(first.lower())
    if not rest or _PLAIN_STOP.search(rest) or " about " in text:
        return None
    is_object = re.match(rf"(?:of )?(?:{_DETERMINER})\b", rest, re.IGNORECASE)
    is_thing = verb not in ("test", "plan", "run", "print") and (rest.endswith("s") or _MASS.search(rest))
    if verb is None and first.lower() in _VERBS:
        verb, is_thing = first.lower(), first.lower() not in _NOUNS_TOO and rest.endswith("s")
    if verb and (is_object or is_thing):
        return Wording(_ask_within(f"How do you {verb} {rest.removeprefix('of ')}?", text, topic), 0)
    return None


def _of_name(text: str, topic: Topic, *, is_title: bool, is_defined: bool) -> Wording | None:
    """Ask what a name means where the text says it, else what there is to know of it."""
    words = text.split()
    last = words[-1].lower()
    if _is_clause(text) or (len(words) == 1 and len(last) < 8 and not is_title and not is_defined and not topic.near):
        return None
    is_definite = words[0].lower() == "the"
    is_plain = not _PREPOSITION.search(text) and len(words) <= 4 and words[0].lower() not in _GERUNDS
    if is_definite and not is_title and not is_defined and is_plain and not topic.near:
        return None
    if is_plain and is_defined:
        is_bare = _MASS.search(last) or is_definite or words[-1].isupper()
        is_one = f"What is {text}?" if is_bare else f"What is meant by “{text}”?"
        return Wording(_ask_within(f"What are {text}?" if _PLURAL.search(last) else is_one, text, topic), 0)
    topic = Topic() if topic.is_document else topic
    known = f"What should I know about {_with_article(text)}?"
    return Wording(_ask_within(known, text, topic), 1 if is_title else 2 if is_plain else 3)


def _with_article(text: str) -> str:
    """Return a noun phrase with "the" where "of" makes it a definite one: the code of conduct."""
    first = text.split()[0].lower()
    needs = re.match(r"(?:\w+ )?\w+ of ", text) and first not in _GERUNDS and not re.search(r"\w+s of ", text)
    return f"the {text}" if needs and first not in ("the", "a", "an") else text


def _is_clause(text: str) -> bool:
    """Tell whether a heading is no noun phrase that "about" can stand before."""
    first = text.split()[0].lower()
    is_told = first in _VERBS and (first not in _NOUNS_TOO or re.match(rf"\w+ (?:{_DETERMINER})\b", text))  # a command
    is_open = _PREPOSITION.match(text) or " about " in text or (is_told and " " in text)
    return bool(_PLAIN_STOP.search(text) or _NO_NOUN.search(text) or is_open)


def _is_dangling(text: str) -> bool:
    """Tell whether a pronoun refers to something outside of the text."""
    match = _PRONOUN.search(text)
    return match is not None and not (
        match[0].lower() in ("its", "their", "them", "it", "they") and names_of(text[: match.start()])
    )


def _ask_within(question: str, text: str, topic: Topic) -> str:
    return f"{_within(question.removesuffix('?'), text, topic)}?"


def _within(asked: str, text: str, topic: Topic) -> str:
    """Add the topic where the heading names none of it and both are short."""
    is_needed = topic.near and not shares_term(text, topic.near) and len(names_of(text)) < 3
    return f"{asked} {_joint(topic, topic.near)}" if is_needed and not re.search(r"\bin\b", text) else asked


def _joint(topic: Topic, said: str) -> str:
    if topic.is_document:
        return f"according to the {said}"
    return f"when {said}" if said.split()[0].lower() in _GERUNDS else f"in {said}"
