"""Says things in German."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from piopiy_pipeline.spoken_text.verbalizer import Amount, Verbalizer

__all__ = ["GermanVerbalizer"]

_NAMES = {"USD": "Dollar", "EUR": "Euro", "GBP": "Pfund", "CHF": "Franken", "JPY": "Yen", "INR": "Rupien"}
_CENTS = {"USD": "Cent", "EUR": "Cent", "GBP": "Pence", "CHF": "Rappen"}
_WITH_N = frozenset(
    [
        "am",
        "im",
        "vom",
        "zum",
        "beim",
        "dem",
        "den",
        "des",
        "der",
        "ab",
        "bis",
        "seit",
        "nach",
        "vor",
        "zur",
        "einem",
        "einen",
        "diesem",
        "diesen",
        "jedem",
        "jeden",
        "ihrem",
        "ihren",
        "seinem",
        "seinen",
        "meinem",
        "meinen",
        "ihrer",
        "unserem",
        "unseren",
        "nächsten",
        "letzten",
    ]
)
"""Behind these words an ordinal number ends in -n: "am dritten". Behind "der" it may: see `GermanVerbalizer`."""
_WITH_R = frozenset(["ein", "kein", "mein", "dein", "sein", "ihr", "unser", "euer"])


_FEMININE = (
    *(
        "e",
        "ung",
        "heit",
        "keit",
        "schaft",
        "ion",
        "tät",
        "ur",
        "ik",
        "ei",
        "nacht",
        "person",
        "Person",
        "Nacht",
    ),
)
"""How feminine nouns end."""


class GermanVerbalizer(Verbalizer):
    """German."""

    vocabulary: ClassVar[Mapping[str, str]] = {
        "sharp": "sharp", "point": "Komma", "minus": "minus", "dot": "Punkt", "at": "at", "slash": "Schrägstrich",
        "dash": "Bindestrich", "underscore": "Unterstrich", "plus": "plus", "to": "bis", "and": "und",
        "or": "oder", "number": "Nummer", "per": "pro", "times": "mal", "equals": "gleich", "about": "etwa",
        "star": "Stern", "hash": "Raute", "extension": "Durchwahl", "through": "bis", "less": "weniger als",
        "more": "mehr als", "greater": "größer als", "by": "mal", "degrees": "Grad", "hashtag": "Hashtag",
        "arrow": "nach", "o'clock": "Uhr", "plus minus": "plus minus", "at least": "mindestens",
        "at most": "höchstens", "version": "Version", "section": "Paragraf", "percent": "Prozent",
        "colon": "zu", "squared": "zum Quadrat", "cubed": "hoch drei", "power": "hoch", "cents": "Cent",
    }  # fmt: skip
    abbreviations: ClassVar[Mapping[str, str]] = {
        "Dr.": "Doktor", "Hr.": "Herr", "Hrn.": "Herrn", "Fr.": "Frau", "Prof.": "Professor",
        "Dipl.-Ing.": "Diplomingenieur", "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt",
        "d.h.": "das heißt", "u. a.": "unter anderem", "u.a.": "unter anderem", "o. ä.": "oder ähnlich",
        "o.ä.": "oder ähnlich", "u. U.": "unter Umständen", "u.U.": "unter Umständen",
        "i. d. R.": "in der Regel", "i.d.R.": "in der Regel", "usw.": "und so weiter", "etc.": "et cetera",
        "bzw.": "beziehungsweise", "ca.": "circa", "evtl.": "eventuell", "ggf.": "gegebenenfalls",
        "inkl.": "inklusive", "zzgl.": "zuzüglich", "exkl.": "exklusive", "abzgl.": "abzüglich",
        "max.": "maximal", "min.": "mindestens", "Nr.": "Nummer", "Nrn.": "Nummern", "Tel.": "Telefon",
        "Str.": "Straße", "str.": "straße", "Pl.": "Platz", "St.": "Sankt", "Abs.": "Absatz",
        "Art.": "Artikel", "S.": "Seite", "Std.": "Stunden", "Min.": "Minuten", "Sek.": "Sekunden",
        "Mio.": "Millionen", "Mrd.": "Milliarden", "Tsd.": "Tausend", "Jh.": "Jahrhundert",
        "MwSt.": "Mehrwertsteuer", "vgl.": "vergleiche", "bspw.": "beispielsweise", "sog.": "sogenannt",
        "gem.": "gemäß", "lt.": "laut", "mind.": "mindestens", "höchst.": "höchstens", "tägl.": "täglich",
        "wöchentl.": "wöchentlich", "geöffn.": "geöffnet", "Abt.": "Abteilung", "Fa.": "Firma",
        "Hbf.": "Hauptbahnhof", "Hbf": "Hauptbahnhof", "Bhf.": "Bahnhof", "EG": "Erdgeschoss",
        "OG": "Obergeschoss", "v. Chr.": "vor Christus", "n. Chr.": "nach Christus", "v.Chr.": "vor Christus",
        "n.Chr.": "nach Christus", "24/7": "rund um die Uhr", "z. Zt.": "zur Zeit", "z.Zt.": "zur Zeit",
        "mfg": "mit freundlichen Grüßen", "Hausnr.": "Hausnummer", "zw.": "zwischen",
    }  # fmt: skip
    magnitudes: ClassVar[Mapping[str, tuple[str, str]]] = {
        "Mio.": ("Million", "Millionen"), "Mio": ("Million", "Millionen"), "Million": ("Million", "Millionen"),
        "Millionen": ("Million", "Millionen"), "Mrd.": ("Milliarde", "Milliarden"),
        "Mrd": ("Milliarde", "Milliarden"), "Milliarden": ("Milliarde", "Milliarden"),
        "Milliarde": ("Milliarde", "Milliarden"), "Tsd.": ("Tausend", "Tausend"),
        "Tausend": ("Tausend", "Tausend"), "k": ("Tausend", "Tausend"),
    }  # fmt: skip
    feminine_units: ClassVar[frozenset[str]] = frozenset(
        [
            "duration-hour",
            "duration-minute",
            "duration-second",
            "duration-millisecond",
            "length-mile",
            "mass-metric-ton",
            "mass-ounce",
            "energy-kilowatt-hour",
            "energy-kilocalorie",
            "INR",
        ]
    )

    @property
    def day_first_in_numbers(self) -> bool:
        """Whether 3/4 is the third of April."""
        return True

    def one(self, unit: str) -> str:
        """Return "eins", or "ein", "eine" before what it counts."""
        if not unit:
            return "eins"
        return "eine" if unit in self.feminine_units else "ein"

    def counted(self, amount: Amount, after: str) -> str:
        """Return a number; one has the gender of the noun behind it."""
        noun = re.match(r"\s([A-ZÄÖÜ][a-zäöüß]+)", after)
        if not amount.is_one or noun is None:
            return self.amount(amount)
        minus = "minus " if amount.negative else ""
        return minus + ("eine" if noun[1].endswith(_FEMININE) else "ein")

    def ordinal(self, number: int, before: str = "") -> str:
        """Return the ordinal number, with the ending that the word before it asks for."""
        word = super().ordinal(number)  # ends in -te
        if before.lower() in _WITH_R:
            return word + "r"
        return word + "n" if before.lower() in _WITH_N - {"der"} else word

    def year(self, number: int) -> str:
        """Return the number of a year: "neunzehnhundertneunundneunzig", "zweitausendsechsundzwanzig"."""
        if 1100 <= number <= 1999:
            hundreds, rest = divmod(number, 100)
            return f"{self.cardinal(hundreds)}hundert{self.cardinal(rest) if rest else ''}"
        return self.cardinal(number)

    def fraction(self, part: int, whole: int) -> str | None:
        """Return a fraction: "drei Viertel"."""
        if not (0 < part <= 100 and 2 <= whole <= 100):
            return None
        if whole == 2:
            return "ein halb" if part == 1 else f"{self.cardinal(part)} Halbe"
        name = super().ordinal(whole).removesuffix("te") + "tel"
        return f"{'ein' if part == 1 else self.cardinal(part)} {name[:1].upper() + name[1:]}"

    def currency(self, code: str, *, one: bool) -> str:
        """Return the name of a currency as people say it."""
        if code == "INR" and one:
            return "Rupie"
        return _NAMES.get(code) or super().currency(code, one=one)

    def money(self, amount: Amount, code: str, magnitude: str = "") -> str:
        """Return an amount of money: "zwölf Euro fünfzig"."""
        fraction = amount.fraction
        if magnitude and amount.is_one:
            return f"eine {self.magnitudes[magnitude][0]} {self.currency(code, one=False)}"
        if magnitude or not fraction or not fraction.strip("0") or len(fraction) > 2:
            return super().money(amount, code, magnitude)
        cents = int(fraction.ljust(2, "0"))
        said = "ein" if cents == 1 else self.cardinal(cents)
        if not amount.whole.strip("0"):
            minus = "minus " if amount.negative else ""
            return f"{minus}{said} {_CENTS[code]}" if code in _CENTS else super().money(amount, code)
        euros = super().money(Amount(amount.whole, None, amount.negative), code)
        return f"{euros} {self.cardinal(cents)}"

    def date(
        self, day: int, month: int, year: int | None, *, before: str = "", day_first: bool = True
    ) -> str:
        """Return a date: "neunundzwanzigster November zweitausendsechsundzwanzig", inflected by the word before."""
        ordinal = Verbalizer.ordinal(self, day)
        before = before.lower()
        if before in _WITH_N:
            ordinal += "" if before == "der" else "n"
        elif before not in ("die", "das", "dieser", "jeder"):
            ordinal += "r"
        said = f"{ordinal} {self.month(month)}"
        return said if year is None else f"{said} {self.year(year)}"

    def time(self, hour: int, minute: int, half: str = "", second: int | None = None) -> str | None:
        """Return a time of the day: "neunzehn Uhr dreißig"."""
        if hour > 24 or minute > 59:
            return None
        if half.lower().startswith("p") and hour < 12:
            hour += 12
        said = f"{'ein' if hour == 1 else self.cardinal(hour)} Uhr"
        if minute:
            said += f" {self.cardinal(minute)}"
        if second is not None:
            said += f" und {'eine Sekunde' if second == 1 else self.cardinal(second) + ' Sekunden'}"
        return said
