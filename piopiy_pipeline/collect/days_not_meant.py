"""Leaves out of an answer what names a day that the caller does not mean: "any day but Friday", "I called on Monday".

Callers exclude days, say that one is not possible, tell what happened on one, or ask about one. A clause that does
so is left out before a date is looked for. Without I/O.
"""

from __future__ import annotations

import re

from piopiy_pipeline.services.playbook.sentence_kinds import contents, is_question
from piopiy_pipeline.services.playbook.words import MONTHS, WEEKDAYS, read_words
from piopiy_pipeline.turns.caller_words import words_of

__all__ = ["is_day_list", "is_vague", "names_excluded", "without_days_not_meant"]

_CLAUSE = re.compile(
    r"(?<=[,.;!?])\s+|\s+(?=(?:but|because|sondern|aber|weil|mais|car|sino|pero|porque|ma|perché|mas|maar|want)\b)"
    r"|\s+(?=(?:lieber|plutôt|mejor|meglio|melhor|liever) (?!(?:que|che|dan)\b))"
)
_ALL_BUT = re.compile(
    r"\b((?:any|every|all|each)(?:thing|time|one)?(?: (?:days?|time|weekdays?|other|of|the|this|next|week|month))*),?"
    r" but\b"
)
_EXCEPT = {
    "en": r"except(?:ing)?|excluding|other than|apart from|besides|with the exception of",
    "de": r"außer|ausser|bis auf|mit ausnahme",
    "fr": r"sauf|excepté|hormis|à part",
    "es": r"excepto|salvo|menos",
    "it": r"tranne|eccetto|escluso|salvo|a parte|meno",
    "pt": r"exceto|salvo|menos|a não ser|tirando",
    "nl": r"behalve|uitgezonderd|met uitzondering van",
}
"""Excludes all days behind it, as in "except Monday, Tuesday or Wednesday"."""
_INSTEAD = {
    "en": r"instead of|rather than|unless|without|since|until|till|not (?:before|after|later|earlier)",
    "de": r"statt|anstatt|anstelle|seit|(?<!tag )(?<!woch )bis|ohne",
    "fr": r"au lieu d[eu]|plutôt que|depuis|jusqu|sans",
    "es": r"en (?:vez|lugar) de|desde|hasta|sin",
    "it": r"invece d(?:i|el)|al posto d(?:i|el)|piuttosto che|fino|senza",
    "pt": r"em vez d[aeo]|no lugar d[aeo]|desde|até|sem",
    "nl": r"in plaats van|sinds|tot|zonder",
}
"""Excludes the days behind it in its clause."""
_DENIES = {
    "en": r"\w+n't|cannot|never|not|no good|no use|wrong|busy|away|impossible|closed|unavailable",
    "de": r"nicht|kein\w*|nie|niemals|unmöglich|verhindert|geschlossen|falsch|schlecht",
    "fr": r"pas|jamais|impossible|fermée?|occupée?",
    "es": r"no|nunca|imposible|cerrado|ocupad[oa]",
    "it": r"non|mai|impossibile|chius[oa]|occupat[oa]",
    "pt": r"não|nunca|impossível|fechado|ocupad[oa]",
    "nl": r"niet|geen|nooit|onmogelijk|gesloten|verhinderd|bezet",
}
"""Says of the days of its clause that they are not possible, or not right."""
_AGREES = re.compile(
    r"\b(?:why not|(?:don't|doesn't) (?:mind|matter)|can't wait|warum nicht|pourquoi pas|por qué no|perché no"
    r"|por ?que não|waarom niet)\b"
)
"""Has a negation in it, and denies nothing."""
_TELLS = {
    "en": r"was|were|had|did|been|(?<!\bi )(?:said|told)|spoke|came|went|sent|bought"
    r"|(?!need|preferr|interest|suppos|schedul)\w{3,}ed",
    "de": r"war|waren|hatten?|wurden?|gestern|(?:letzte|vorige)[nrs]?"
    r"|vor (?:\d+|\w+) (?:tag|woche|monat)e?n?|(?:habe?|hat|haben|bin|ist|sind)\b.*\b\w*ge\w+(?:t|en)",
    "fr": r"était|avait|hier|derni(?:er|ère)|passée?|il y a \w+ (?:jours?|semaines?|mois)"
    r"|(?:ai|a|avez|avons|ont)\b.*\w+ée?s?",
    "es": r"fue|era|había|estaba|ayer|pasad[oa](?! mañana)|hace \w+ (?:días?|semanas?|mes(?:es)?)"
    r"|(?:he|ha|han)\b.*\w+[ai]do|llamé|dijo|\w+(?:aron|ieron)",
    "it": r"era|aveva|ieri|scors[oa]|\w+ (?:giorn[oi]|settiman[ae]|mes[ei]) fa"
    r"|(?:ho|ha|abbiamo|hanno)\b.*\w+(?:[aui]t|tt)o"
    r"|(?:sono|è|siamo)\b.*(?:stat|andat|venut)[oaie]",
    "pt": r"foi|era|estava|ontem|passad[oa]|\w+ (?:dias?|semanas?|m[eê]s\w*) atrás"
    r"|liguei|telefonei|falei|fui|disse(?:ram)?|ligaram|marcaram",
    "nl": r"was|waren|had|hadden|gisteren|afgelopen|vorige|geleden|(?:heb|heeft|hebben|ben)\b.*\bge\w+(?:d|t|en)",
}
"""Tells of something that has been: no day to come is meant."""
_STILL_MEANT = re.compile(r"\bwas (?:just )?(?:thinking|hoping|wondering)\b|\bich habe?\b.*\bgesagt\b")
_ASKS = {
    "de": re.compile(
        r"\W*(?:(?:und|aber|ähm?) )*(?:was|wer|wie|wo|wann|warum|wieso|welche\w*|haben sie|sind sie)\b"
    ),
    "fr": re.compile(
        r"\W*(?:(?:et|mais|euh) )*(?:qu\w*|quand|comment|pourquoi|où|combien|avez-vous|êtes-vous)\b"
    ),
    "es": re.compile(
        r"\W*(?:(?:y|pero) )*(?:qué|quién|cuándo|cómo|dónde|cuánto|por qué|para qué|tienen|están)\b"
    ),
    "it": re.compile(
        r"\W*(?:(?:e|ma|ehm) )*(?:che(?! ne)|chi|quando|come|perché|dove|quanto|avete|siete|cosa)\b"
    ),
    "pt": re.compile(
        r"\W*(?:(?:e|mas) )*(?:o que|que(?! tal)|quem|quando|como|por ?qu[eê]|onde|quanto|têm|vocês)\b"
    ),
    "nl": re.compile(
        r"\W*(?:(?:en|maar|eh) )*(?:wat(?! dacht)|wie|hoe|wanneer|waar\w*|welke|hebben jullie|heeft u|bent u)\b"
    ),
}
"""A question about something. English ones are known by `is_question`."""
_DAY = rf"(?:{'|'.join((*WEEKDAYS, *MONTHS))}|today|tomorrow|tonight|\d)"
_BEFORE_DAY = r"(?: (?:on|the|this|that|next|coming|for|am|den|der|le|el|il|la|na|no|de|op))*"
_PROPOSES = re.compile(rf"(?:\w+ ){{0,2}}(?:is|does|are){_BEFORE_DAY} {_DAY}")
"""A question that proposes a day: "is Friday possible?"."""
_ASKS_WHAT = re.compile(
    r"\W*(?:(?:and|but|so|oh|well|um|und|aber|ähm?|et|mais|euh|y|pero|e|ma|mas|en|maar) )*(?:wh\w+|how(?! about)"
    r"|was|wer|wie(?! wäre)|wo|wann|warum|wieso|welche\w*|quand|comment|pourquoi|où|combien|quel\w*"
    r"|qué|quién|cuándo|cómo|dónde|cuánto|che(?! ne)|chi|dove|o que|quem|onde|wat(?! dacht)|wanneer|hoe|waar)\b"
)
"""A question that asks for more than a yes or a no."""
_OFFER_WORDS = {
    "en": "do does is are have has you you've your got there any anything something free available possible an a the "
    "on for that this next coming of appointment appointments slot slots opening openings place time room left still "
    "morning afternoon evening and but so oh well um please",
    "de": "haben hätten sie denn da noch am an der den dem für etwas einen ein termin platz zeit frei wie wäre ist es "
    "mit auch möglich vielleicht nächsten nächste kommenden diesen und aber äh ähm bitte",
    "fr": "avez auriez vous est ce que qu'il y a t il quelque chose une un place rendez libre disponible encore pour "
    "le la ce possible prochain matin après midi soir serait et mais euh",
    "es": "tienen tiene tendrían hay queda quedan algo libre disponible una un cita hueco para el la este próximo "
    "posible sería y pero eh",
    "it": "avete ha c'è è che qualcosa libero disponibile una un posto appuntamento ancora per di il la questo "
    "prossimo possibile mattina pomeriggio sera sarebbe e ma ehm",
    "pt": "têm tem vocês há algo livre disponível uma um vaga horário ainda para de o a no na este esta próximo "
    "próxima possível manhã tarde noite seria e mas feira",
    "nl": "heeft u hebben jullie is er nog iets vrij een plek plaats tijd afspraak voor de op deze volgende komende "
    "mogelijk kan het ochtend middag avond zou en maar eh",
}
"""What a question is made of that asks for nothing but a day: "do you have anything on Friday?"."""
_OFFERS = {language: frozenset(words.split()) for language, words in _OFFER_WORDS.items()}
_REPORTS = re.compile(
    rf"\b(?:said|told(?: (?:me|us|him|her|them))?)(?: it(?:'s| is| was| would be))?(?: (?:the|this|next|coming|for))*"
    rf" {_DAY}\w*(?: (?:the|of|in|at|morning|afternoon|evening|{_DAY}\w*))*\W*$"
    r"|\bhat (?:mir |uns |ihm |ihr )?(?:nächsten |kommenden )?(?:\w+tag|mittwoch|morgen) gesagt\W*$"
)
"""Tells which day somebody else has named, and no more: "the doctor said Friday"."""
_AROUND_WORDS = """
come coming go see make take book booking put down schedule arrange appointment meeting day date born birthday birth
best better fine great nice works work suits free available possible next coming following week morning afternoon
evening night early late after before think thinking thought guess say said tell told hoping wondering maybe perhaps
probably rather yesterday ago last about around half past noon oh
"""
_AROUND = frozenset(_AROUND_WORDS.split())
"""What is said around a day that is meant, beside the little words of all sentences."""
_MOST_OTHERS = 2
"""With more words of something else, an English clause is about that."""
_EXCLUDED = re.compile(rf"\b(?:not|nicht|instead of|than|als){_BEFORE_DAY} $")
_DIRECT = re.compile(rf"\bnot{_BEFORE_DAY} (?={_DAY})")
_LISTED = re.compile(rf" (?:or|nor|and|to|through|oder|und|bis|ou|et|o|y|e|of|en){_BEFORE_DAY} ")
_VAGUE = {
    "de": r"irgendwann|(?:erste|zweite|dritte|vierte|letzte|[1-5])[nrs]?\.? "
    r"(?:(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch)",
    "fr": r"un de ces jours|n'importe quand",
    "es": r"cuando sea|cualquier día",
    "it": r"quando vuole|qualsiasi giorno",
    "pt": r"quando quiser|qualquer dia",
    "nl": r"ergens|maakt niet uit",
}
"""Names no day, or one that only a calendar knows: "der erste Montag im März"."""


def is_vague(text: str, code: str) -> bool:
    """Return whether a text that has a weekday or a week in it means no day that can be told from these."""
    return code in _VAGUE and _has(_VAGUE[code], text)


def names_excluded(before: str) -> bool:
    """Return whether words exclude the day that comes right behind them: "not on the "."""
    return _EXCLUDED.search(before) is not None


def is_day_list(between: str) -> bool:
    """Return whether the words between two days make a list or a stretch of them: "Monday or Tuesday"."""
    return _LISTED.fullmatch(between) is not None


def without_days_not_meant(text: str, code: str, *, past: bool) -> str:
    """Return a text without the clauses whose days are not meant.

    Args:
        text: What was said, in small letters, with its marks.
        code: The code of its language. Without words for it nothing is left out.
        past: Whether the day that is asked for has been: then who tells what happened may name it.
    """
    if code not in _EXCEPT:
        return text
    text = text.replace("’", "'")
    if code == "en":
        text = _ALL_BUT.sub(r"\1 except", text)
    kept: list[str] = []
    listing = False
    for clause in _CLAUSE.split(_AGREES.sub(" ", text)):
        if listing and len(clause.split()) <= 3:
            continue
        listing = False
        if (cut := re.search(rf"\b(?:{_EXCEPT[code]})\b", clause)) is not None:
            clause, listing = clause[: cut.start()], True
        elif (cut := re.search(rf"\b(?:{_INSTEAD[code]})\b", clause)) is not None:
            clause = clause[: cut.start()]
        if not _is_about_else(clause, code, past=past):
            kept.append(clause)
    return " ".join(kept)


def _is_about_else(clause: str, code: str, *, past: bool) -> bool:
    plain = read_words(clause).text if code == "en" else clause
    if _has(_DENIES[code], _DIRECT.sub(" ", plain)):
        return True
    has_been = _has(_TELLS[code], plain) and not _STILL_MEANT.search(plain)
    if not past and has_been and not _REPORTS.search(plain):
        return True
    if code != "en":
        return _ASKS[code].match(plain) is not None and not _asks_for_day(plain, code)
    if is_question(plain) and not _PROPOSES.match(plain):
        return not _asks_for_day(plain, code)
    others = [word for word in contents(plain) - _AROUND if word.isalpha() and not re.fullmatch(_DAY, word)]
    return len(others) > _MOST_OTHERS


def _asks_for_day(plain: str, code: str) -> bool:
    """Return whether a question asks whether one day is possible, and for nothing else: "do you have Friday?"."""
    if _ASKS_WHAT.match(plain):
        return False
    rest = [word for word in words_of(plain) if word not in _OFFERS[code]]
    return sum(not word[0].isdigit() for word in rest) <= 1


def _has(pattern: str, plain: str) -> bool:
    return re.search(rf"\b(?:{pattern})\b", plain) is not None
