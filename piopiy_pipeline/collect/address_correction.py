"""Corrections of an address that was read back: "no, number 14", "the postal code is 10117 not 10115". Without I/O.

A correction changes the part that it names, or whose form it has, and leaves the others. What could be of two parts
changes nothing: an address that is wrong in silence is worse than one that is asked for again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

__all__ = [
    "AddressParts",
    "corrected_address",
    "corrected_part",
    "names_flat",
    "names_street",
    "without_labels",
    "wrong_part",
]

_LABELS = {
    "code": r"postal ?code|post ?code|zip(?: ?code)?|postleitzahl|plz|code postal|código postal|codice postale|cap|cep",
    "number": r"house ?number|street number|number|hausnummer|nummer|huisnummer|numéro|número|numero(?: civico)?",
    "street": r"street name|street|stra(?:ß|ss)e|rue|calle|via|rua|straat",
    "town": r"town|city|ort|stadt|ville|ciudad|città|cidade|stad|plaats",
}
_IS = r"(?: (?:is|should be|must be|ist|lautet|heißt|c'est|est|es|è|é)(?: in)?:?|:)"
_THE = r"the|my|die|der|das|meine|le|la|mon|ma|el|mi|il|lo|o|a|de|het|mijn"
_LABEL = re.compile(
    r"(?<!\w)(?:(?:and|und|but|aber|et|mais|y|pero|e|ma|mas|en|maar),? )?(?:(?:"
    + _THE
    + r") )?(?:(?:"
    + "|".join(f"(?P<{part}>{_LABELS[part]})" for part in ("code", "number"))
    + f")(?:{_IS})?|(?:"
    + "|".join(f"(?P<{part}>{_LABELS[part]})" for part in ("street", "town"))
    + f"){_IS}) (?=\\S)",
    re.IGNORECASE,
)
"""Streets and towns have these words in their names ("Kansas City"), so there an "is" belongs to it."""
_ANY = "|".join(f"(?P<{part}>{names})" for part, names in _LABELS.items())
_ANY_AGAIN = "|".join(f"(?P<{part}2>{names})" for part, names in _LABELS.items())
_IS_WRONG = re.compile(
    rf"(?:(?:but|aber|and|und) )?(?:(?:{_THE}) )?(?:{_ANY})"
    r"(?: (?:is|was|ist|war|est|es|está|è|é)(?: (?:still|also|noch|auch))? "
    r"(?:wrong|incorrect|false|falsch|not (?:quite )?(?:right|correct)|nicht (?:ganz )?(?:richtig|korrekt)"
    r"|fausse|faux|mal|equivocad[oa]|sbagliat[oa]|errad[oa]|fout|verkeerd|niet (?:goed|juist)|pas (?:bon|correcte?))"
    r"| (?:n'est pas (?:bon|bonne|correcte?)|no es correct[oa]|non è (?:giust|corrett)[oa]|não está (?:certo|correto)"
    r"|klopt (?:ook |nog )?niet)"
    r"| (?:isn't|wasn't) (?:quite )?(?:right|correct)| stimmt (?:so |noch |auch )?nicht)"
    r"|(?:(?:it's|that's|that is|it is|you have|das ist|es ist) )?(?:the |a |die |der |das |eine )?"
    rf"(?:wrong|falsche[rs]?) (?:{_ANY_AGAIN})",
    re.IGNORECASE,
)
"""Says which part is wrong, and not what is right."""
_NAMED = {"code": ("postal code", "town is"), "number": ("house number",), "street": ("street is",)}
_NAMED["town"] = ("town is", "postal code")
"""Before an answer to the question for a part. Postal code and town are asked for together."""
_BETWEEN = re.compile(r"(?:,? (?:and|und|but|aber),? |, )", re.IGNORECASE)
_RIGHT = re.compile(r"\b(?:is|ist|was) (?:right|correct|fine|okay|richtig|korrekt)$|\bstimmt$", re.IGNORECASE)
_WRONG = re.compile(
    r"\b(?:not|wrong|incorrect|right|correct|nicht|falsch|richtig|stimmt|pas|faux|fausse|mal|non|não|sbagliat[oa]|errad[oa]"
    r"|equivocad[oa]|niet|fout|verkeerd|klopt)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w-])\d{1,5}(?: ?[a-z])?(?![\w-])", re.IGNORECASE)
_FLATS = (
    r"(?<!\w)(?P<name>flat|apartment|apt\.?|unit|suite|wohnung)(?: (?:number|nummer|no\.?))?(?: (?:is|ist))? "
)
_FLAT = re.compile(_FLATS + r"(?P<number>\d{1,4}(?: ?[a-z](?!\w))?|[a-z](?!\w))", re.IGNORECASE)
_A_FLAT = re.compile(_FLATS + r"[\w-]+", re.IGNORECASE)
"""The same before its number is one of digits."""
_NEW_NUMBER = re.compile(
    r"(?:(?:the|die|number|nummer|le|el|il|o|numéro|número|numero) )?(\d{1,5}(?: ?[a-z])?)", re.IGNORECASE
)
_STREET = re.compile(
    r"\w(?:stra(?:ß|ss)e|str\.?|weg|allee|platz|gasse|ring|damm|ufer|straat|laan|plein|gracht|kade)(?!\w)"
    r"|(?<!\w)(?:street|road|avenue|lane|drive|boulevard|way|court|square|st|rd|ave|rue|boulevard|place"
    r"|chemin|via|viale|piazza|corso|calle|avenida|plaza|paseo|rua|travessa|praça)(?!\w)",
    re.IGNORECASE,
)
_IN = re.compile(r"^(?:in (?!der |dem |the )|(?-i:(?:à|en|em|a|no|na) (?=[A-ZÀ-Ý])))", re.IGNORECASE)
_NOT = (
    re.compile(r"^(?P<new>\d+\w?),? no (?P<old>\d+\w?)$"),  # Spanish
    re.compile(
        r"^(?P<new>.+?),? (?:and |und )?(?:not|nicht|instead of|statt|(?<!n'est )pas|non|não|niet|au lieu de"
        r"|en (?:vez|lugar) de|invece di|em vez de|in plaats van) (?P<old>.+)$",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?:it's |it is |es ist )?(?:not|nicht) (?P<old>.+?),? (?:but|sondern|it's|it is|es ist) (?P<new>.+)$",
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True, slots=True)
class AddressParts:
    """An address, and where its parts are in it.

    Attributes:
        text: All of it.
        street: Street and house number, as they stand in the text; empty if nobody knows.
        postal_code: The same of the postal code.
        town: The same of the town.
    """

    text: str
    street: str = ""
    postal_code: str = ""
    town: str = ""

    def with_part(self, part: str, new: str) -> AddressParts | None:
        """Return the address with another street, postal code or town; None if it has none that is known."""
        old: str = getattr(self, part)
        if not old or not new:
            return None
        at = self.text.find(old) if part == "street" else self.text.rfind(old)
        text = self.text[:at] + new + self.text[at + len(old) :]
        return replace(self, text=text, **{part: new})


def names_flat(said: str, *, only: bool = False) -> bool:
    """Return whether there is a flat in it, with its number or letter; `only`: and nothing else."""
    return (_A_FLAT.fullmatch(said) if only else _A_FLAT.search(said)) is not None


def names_street(said: str) -> bool:
    """Return whether there is a word for a street in it: "Main Street", "Hauptstraße"."""
    return _STREET.search(said) is not None


def without_labels(said: str) -> str:
    """Return an address without the names of its parts: "the postal code is 10117" is "10117"."""
    if not _LABEL.search(said):
        return said
    plain = _LABEL.sub("", said)
    plain = re.sub(r"\s+", " ", plain).strip(" ,.")
    return re.sub(r"(?<=[^\W\d]),? and (?=\d)", " ", plain)


def corrected_address(said: str, parts: AddressParts, *, code: str | None) -> str | None:
    """Return the address as it is after a correction.

    Args:
        said: What the caller said, without a "no" at its beginning, and with numbers in digits.
        parts: The address.
        code: The pattern of postal codes in its country, if that is known.

    Returns:
        The new text, or None if it is not certain which part is meant.
    """
    for form in _NOT:
        if (found := form.match(said.strip(" .,!"))) is not None:
            return _exchanged(without_labels(found["old"]), found["new"], parts, code)
    clauses, now = [clause for clause in _BETWEEN.split(said.strip(" .,!")) if clause], parts
    if len(clauses) > 1 and not all(_LABEL.match(clause) or _RIGHT.search(clause) for clause in clauses):
        clauses = [said.strip(" .,!")]
    changed = False
    for clause in clauses:
        if _RIGHT.search(clause):
            continue
        after = _changed(clause, now, code)
        if after is None:
            return None
        now, changed = after, True
    return now.text if changed else None


def wrong_part(said: str, parts: AddressParts) -> str:
    """Return which part a caller calls wrong without another one: ``number``, ``street``, ``code`` or ``town``.

    Args:
        said: What the caller said, without a "no" at its beginning.
        parts: The address.

    Returns:
        Empty if it is another sentence, or the address has no such part that is known.
    """
    found = _IS_WRONG.fullmatch(said.strip(" .,!"))
    if found is None:
        return ""
    part = next((name for name in _LABELS if found[name] or found[f"{name}2"]), "")
    if part == "number":
        return part if len(_NUMBER.findall(parts.street)) == 1 else ""
    has = {"street": parts.street, "code": parts.postal_code, "town": parts.town}
    return part if has.get(part) else ""


def corrected_part(said: str, part: str, parts: AddressParts, *, code: str | None) -> str | None:
    """Return the address after the answer to the question for a part of it; None if it is no such part.

    Args:
        said: What the caller said, with numbers in digits.
        part: The part that was asked for: see `wrong_part`.
        parts: The address.
        code: The pattern of postal codes in its country, if that is known.
    """
    said = said.strip(" .,!")
    for phrase in (said, *(f"{name} {said}" for name in _NAMED[part])):
        if (after := corrected_address(phrase, parts, code=code)) is not None:
            return after
    return None


def _exchanged(old: str, new: str, parts: AddressParts, code: str | None) -> str | None:
    """Put the new words in the place of the old ones, which the caller has said too."""
    found = list(re.finditer(rf"(?<!\w){re.escape(old.strip())}(?!\w)", parts.text, re.IGNORECASE))
    if len(found) != 1:
        after = _changed(new, parts, code)
        return after.text if after is not None else None
    return parts.text[: found[0].start()] + without_labels(new) + parts.text[found[0].end() :]


def _changed(clause: str, parts: AddressParts, code: str | None) -> AddressParts | None:
    if _WRONG.search(clause):  # says that a part is wrong, and not what is right
        return None
    if (flat := _FLAT.search(clause)) is not None and not _STREET.search(clause):
        return _with_flat(flat, parts)
    label = _LABEL.match(clause)
    part = next((name for name in _LABELS if label and label[name]), "")
    new = clause[label.end() :].strip(" .,") if label else clause
    is_code = bool(code and re.fullmatch(code, new, re.IGNORECASE))
    number = _NEW_NUMBER.fullmatch(new)
    if part == "code" or (not part and is_code):
        return parts.with_part("postal_code", new) if is_code or (part and code is None) else None
    if not part and number and _FLAT.search(parts.text):
        return None  # of the house, or of the flat?
    if part == "number" or (not part and number):
        return _with_number(number[1], parts) if number else None
    if part == "town":
        return None if re.search(r"\d", new) else parts.with_part("town", new)
    if code and (found := re.search(rf"(?<![\w-])(?:{code})(?![\w-])", new, re.IGNORECASE)):
        return None if part else _with_code_and_town(new, found[0], parts)
    if part == "street" or _STREET.search(new):
        return _with_street(new, parts)
    if not part and _IN.match(new) and not re.search(r"\d", new):
        return parts.with_part("town", _IN.sub("", new))
    return None


def _with_flat(flat: re.Match[str], parts: AddressParts) -> AddressParts | None:
    """Put a flat's number in the place of the one before, or the flat behind the street that had none."""
    found = list(_FLAT.finditer(parts.text))
    if len(found) > 1 or not parts.street:
        return None
    if not found:
        return parts.with_part("street", f"{parts.street}, {flat['name']} {flat['number']}")
    old = found[0]["number"]
    new = re.sub(rf"(?<!\w){re.escape(old)}$", flat["number"], found[0][0])
    street = parts.street.replace(found[0][0], new)
    return replace(parts, text=parts.text.replace(found[0][0], new, 1), street=street)


def _with_number(number: str, parts: AddressParts) -> AddressParts | None:
    flats = [flat.span() for flat in _FLAT.finditer(parts.street)]
    found = [
        one
        for one in _NUMBER.finditer(parts.street)
        if not any(begin <= one.start() < end for begin, end in flats)
    ]
    if len(found) != 1:
        return None
    return parts.with_part(
        "street", parts.street[: found[0].start()] + number + parts.street[found[0].end() :]
    )


def _with_code_and_town(new: str, code: str, parts: AddressParts) -> AddressParts | None:
    town = " ".join(new.replace(code, " ").split()).strip(" ,")
    if not town or re.search(r"\d", town) or _STREET.search(town):
        return None
    after = parts.with_part("postal_code", code)
    return after.with_part("town", town) if after is not None else None


def _with_street(new: str, parts: AddressParts) -> AddressParts | None:
    numbers = list(_NUMBER.finditer(parts.street))
    if re.search(r"\d", new) or not numbers:
        return parts.with_part("street", new)
    if len(numbers) > 1:
        return None
    number = numbers[0][0]
    return parts.with_part("street", f"{number} {new}" if numbers[0].start() == 0 else f"{new} {number}")
